//! Rows of CSV (RFC 4180) with a header line, as pandas writes them.

use super::{
    body::by_name,
    cell::Cell,
    frame::Frame,
    signature::{Form, Schema},
};
use crate::error::{Code, Error, Result};

/// Reads a body of CSV. An empty field is no value, except of a text.
pub(super) fn read(schema: &Schema, body: &[u8]) -> Result<Frame> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Error::new(Code::BadRequest, "Ensure that input is a valid UTF-8 encoded string."))?;
    let mut records = Records(text.trim_start_matches('\u{feff}'));
    let Some(names) = records.next().transpose()? else {
        return Err(Error::new(Code::BadRequest, "The CSV has no header line, which names the columns."));
    };
    let places = match schema.form {
        Form::Named => by_name(schema, &names)?,
        _ => (0..schema.inputs.len()).map(Some).collect(),
    };
    let mut frame = Frame::new(schema, 64);
    for record in records {
        let record = record?;
        if record.len() != places.len() {
            let (row, got, expected) = (frame.rows, record.len(), places.len());
            let message = format!("The CSV has {got} fields in row {row}, and {expected} are expected.");
            return Err(Error::new(Code::BadRequest, message));
        }
        for (field, place) in record.iter().zip(&places) {
            let Some(at) = place else { continue };
            if let (Some(column), Some(input)) = (frame.columns.get_mut(*at), schema.inputs.get(*at)) {
                column.push(input, Cell::Plain(field))?;
            }
        }
        frame.end_row(schema)?;
    }
    Ok(frame)
}

/// Records of what is left of a text.
struct Records<'t>(&'t str);

impl Iterator for Records<'_> {
    type Item = Result<Vec<String>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            let (field, rest, is_last) = match self.0.strip_prefix('"') {
                Some(quoted) => match quoted_field(quoted) {
                    Some(found) => found,
                    None => {
                        self.0 = "";
                        let message = "The CSV has a quoted field that does not end, or is followed by text.";
                        return Some(Err(Error::new(Code::BadRequest, message)));
                    }
                },
                None => plain_field(self.0),
            };
            fields.push(field);
            self.0 = rest;
            if is_last {
                return Some(Ok(fields));
            }
        }
    }
}

fn plain_field(text: &str) -> (String, &str, bool) {
    let end = text.find([',', '\n']).unwrap_or(text.len());
    let field = text[..end].trim_end_matches('\r').to_owned();
    let is_last = !text[end..].starts_with(',');
    (field, text.get(end + 1..).unwrap_or_default(), is_last)
}

/// The rest of a field after its first quote; two quotes in it stand for one.
fn quoted_field(text: &str) -> Option<(String, &str, bool)> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let end = rest.find('"')?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => break,
        }
    }
    if let Some(more) = rest.strip_prefix(',') {
        return Some((field, more, false));
    }
    let rest = rest.strip_prefix('\r').unwrap_or(rest);
    match rest.strip_prefix('\n') {
        Some(more) => Some((field, more, true)),
        None => rest.is_empty().then_some((field, "", true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<Vec<String>> {
        Records(text).map(|record| record.unwrap()).collect()
    }

    #[test]
    fn quotes_line_ends_and_empty_fields() {
        assert_eq!(
            records("a,b\r\n1,\"x, \"\"y\"\"\nz\"\n,\n"),
            [
                vec!["a".to_owned(), "b".to_owned()],
                vec!["1".to_owned(), "x, \"y\"\nz".to_owned()],
                vec![String::new(), String::new()],
            ]
        );
        assert_eq!(records("a"), [["a"]]);
        for broken in ["\"a", "\"a\"b,c"] {
            assert!(Records(broken).next().unwrap().is_err(), "{broken}");
        }
    }
}
