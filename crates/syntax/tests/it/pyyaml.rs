//! Flat YAML as PyYAML writes it: when a text is quoted, how it is escaped, and where its lines break
//! (`yaml/emitter.py` 6.0: `analyze_scalar`, `write_plain`, `write_single_quoted`, `write_double_quoted`, with `allow_unicode`).
//!
//! Where PyYAML may write a text in more than one way, a number picks one: it chooses by the types that a plain text would
//! resolve to, which is nothing to a reader of texts.

/// Where PyYAML breaks long lines.
const WIDTH: usize = 80;

/// A text, and which of its forms is written.
#[derive(Debug, Clone)]
pub struct Text {
    pub text: String,
    pub pick: usize,
}

/// What a name may have.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    /// A number or a truth value, written as it is.
    Bare(String),
    Text(Text),
    List(Vec<Text>),
    Mapping(Vec<(Text, Value)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

/// The file of a mapping.
pub fn dump(entries: &[(Text, Value)]) -> String {
    let mut writer = Writer::default();
    writer.mapping(entries, 0);
    if entries.is_empty() { "{}\n".to_owned() } else { writer.out }
}

/// What ends a line in YAML 1.1.
fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What needs no escape.
fn is_printable(c: char) -> bool {
    let c = u32::from(c);
    matches!(c, 0x0a | 0x20..=0x7e | 0x85 | 0xa0..=0xd7ff | 0xe000..=0xfefe | 0xff00..=0xfffd | 0x1_0000..0x10_ffff)
}

/// Whether a text would be read as something else between other marks of the language.
fn has_indicators(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let is_blank =
        |at: usize| chars.get(at).is_none_or(|c| is_break(*c) || matches!(c, '\0' | ' ' | '\t' | '\r'));
    text.starts_with("---")
        || text.starts_with("...")
        || text.starts_with(|c| "#,[]{}&*!|>'\"%@`".contains(c))
        || (text.starts_with(['?', '-']) && is_blank(1))
        || chars.iter().enumerate().any(|(at, c)| match c {
            ':' => is_blank(at + 1),
            '#' => at > 0 && is_blank(at - 1),
            _ => false,
        })
}

/// The forms in which a text may be written.
fn styles(text: &str) -> Vec<Style> {
    let chars: Vec<char> = text.chars().collect();
    let neighbours = |one: fn(char) -> bool, two: fn(char) -> bool| {
        chars.windows(2).any(|pair| one(pair[0]) && two(pair[1]))
    };
    let is_space = |c| c == ' ';
    let single = chars.iter().all(|c| is_printable(*c))
        && !neighbours(is_space, is_break)
        && !neighbours(is_break, is_space);
    let plain = single
        && !matches!(text, "" | "~" | "null" | "Null" | "NULL")
        && !chars.iter().any(|c| is_break(*c))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !has_indicators(text);
    let allowed = [(Style::Plain, plain), (Style::Single, single), (Style::Double, true)];
    allowed.into_iter().filter_map(|(style, allowed)| allowed.then_some(style)).collect()
}

#[derive(Default)]
struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn end_line(&mut self, indent: usize) {
        self.out.push('\n');
        self.column = 0;
        self.put(&" ".repeat(indent));
    }

    fn mapping(&mut self, entries: &[(Text, Value)], indent: usize) {
        for (at, (key, value)) in entries.iter().enumerate() {
            if at > 0 {
                self.end_line(indent);
            }
            self.key(key, indent);
            match value {
                Value::Null => self.put(" null"),
                Value::Bare(text) => self.put(&format!(" {text}")),
                Value::Text(text) => {
                    self.put(" ");
                    self.scalar(text, indent + 2, true);
                }
                Value::List(items) if items.is_empty() => self.put(" []"),
                Value::List(items) => {
                    for item in items {
                        self.end_line(indent);
                        self.put("- ");
                        self.scalar(item, indent + 2, true);
                    }
                }
                Value::Mapping(entries) if entries.is_empty() => self.put(" {}"),
                Value::Mapping(entries) => {
                    self.end_line(indent + 2);
                    self.mapping(entries, indent + 2);
                }
            }
        }
        if indent == 0 {
            self.end_line(0);
        }
    }

    /// A key that is empty, long or has lines stands behind a question mark.
    fn key(&mut self, key: &Text, indent: usize) {
        let is_simple =
            !key.text.is_empty() && key.text.chars().count() < 128 && !key.text.contains(is_break);
        if is_simple {
            self.scalar(key, indent + 2, false);
        } else {
            self.put("? ");
            self.scalar(key, indent + 2, true);
            self.end_line(indent);
        }
        self.put(":");
    }

    fn scalar(&mut self, text: &Text, indent: usize, may_break: bool) {
        let allowed = styles(&text.text);
        match allowed[text.pick % allowed.len()] {
            Style::Plain => self.folded(&text.text, indent, may_break),
            Style::Single => {
                self.put("'");
                self.folded(&text.text.replace('\'', "''"), indent, may_break);
                self.put("'");
            }
            Style::Double => {
                self.put("\"");
                self.escaped(&text.text, indent, may_break);
                self.put("\"");
            }
        }
    }

    /// A space alone becomes the end of a line that is long enough; an end of a line is written as two.
    fn folded(&mut self, text: &str, indent: usize, may_break: bool) {
        let chars: Vec<char> = text.chars().collect();
        let mut written = 0;
        for run in chars.chunk_by(|a, b| kind(*a) == kind(*b)) {
            let is_inside = 0 < written && written + run.len() < chars.len();
            written += run.len();
            match run {
                [' '] if may_break && is_inside && self.column > WIDTH => self.end_line(indent),
                [c, ..] if is_break(*c) => {
                    let first = if *c == '\n' { "\n" } else { "" };
                    self.out.extend(first.chars().chain(run.iter().copied()));
                    self.column = 0;
                    self.put(&" ".repeat(indent));
                }
                _ => self.put(&run.iter().collect::<String>()),
            }
        }
    }

    /// A line that is long enough ends in a backslash, and one that goes on with a space begins with another.
    fn escaped(&mut self, text: &str, indent: usize, may_break: bool) {
        let chars: Vec<char> = text.chars().collect();
        let mut after_escape = false;
        for (at, c) in chars.iter().enumerate() {
            let is_inside = 0 < at && at + 1 < chars.len();
            if may_break && is_inside && self.column > WIDTH && (*c == ' ' || after_escape) {
                self.put("\\");
                self.end_line(indent);
                if *c == ' ' {
                    self.put("\\");
                }
            }
            let escape = escape(*c);
            after_escape = escape.is_some();
            self.put(&escape.unwrap_or_else(|| c.to_string()));
        }
    }
}

/// What is written in one go: spaces, ends of lines, all else.
fn kind(c: char) -> (bool, bool) {
    (c == ' ', is_break(c))
}

/// How a character is written between double quotes, if not as it is.
fn escape(c: char) -> Option<String> {
    let name = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if is_printable(c) && c <= '\u{fffd}' => return None,
        c => {
            return Some(match u32::from(c) {
                code @ ..=0xff => format!("\\x{code:02X}"),
                code @ ..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            });
        }
    };
    Some(format!("\\{name}"))
}
