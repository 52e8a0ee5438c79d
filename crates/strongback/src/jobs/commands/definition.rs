//! What a command is: declared once by an administrator, immutable as a version, filled with the values of a run.
//!
//! What must stay true: a value takes the place of a whole argument or a whole value of the environment and never of a part;
//! there is no shell; the program is fixed by the declaration; a value that a program could take for an option is refused.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use syntax::glob;

use super::super::queue::ATTEMPTS_MAX;
use crate::{
    catalog::securable::check_text,
    error::{Error, Result},
    router::wire::{self, Int64},
};

/// Arguments of a command, its program among them.
const ARGUMENTS_MAX: usize = 64;
/// Characters of an argument, of a value of the environment, of a parameter's value.
const TEXT_CHARS_MAX: usize = 4_096;
/// Variables of the environment, parameters, and choices of one.
const ENTRIES_MAX: usize = 64;
/// Characters of a name: of a parameter, a variable, a label.
const NAME_CHARS_MAX: usize = 64;
/// The longest that a command may run.
const WALL_SECONDS_MAX: i64 = 7 * 24 * 3600;
/// The most processor time: that of a thousand processors for as long.
const PROCESSOR_SECONDS_MAX: i64 = 1_000 * WALL_SECONDS_MAX;
/// The most memory: 16 TiB.
const MEMORY_MB_MAX: i64 = 16 << 20;
/// What the runner sets itself.
const RESERVED: &[&str] = &["STRONGBACK_", "MLFLOW_TRACKING_", "DATABRICKS_"];

/// What is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The program and its arguments, without a shell. An argument that is `{name}` stands for the parameter's value.
    #[serde(deserialize_with = "wire::list")]
    pub argv: Vec<String>,
    /// Variables of the environment, which is empty but for them and what the runner sets. A value that is `{name}`
    /// stands for the parameter's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What a run may choose.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Parameter>,
    /// Which runners may run it: those that were started with this label.
    #[serde(default = "default_label")]
    pub label: String,
    /// How long all attempts together may take, in seconds; an hour when absent.
    #[serde(default = "default_wall")]
    pub wall_seconds: Int64,
    /// How much processor time they may use, in seconds; as much as they can in their time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor_seconds: Option<Int64>,
    /// How much memory its processes may have together, in MiB; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<Int64>,
    /// How often it is begun, if its runner dies; once when absent.
    #[serde(default = "default_attempts")]
    pub max_attempts: Int64,
    /// Whether it is also begun again when it ended with another exit code than 0.
    #[serde(default, deserialize_with = "wire::flag")]
    pub retry_failed: bool,
}

/// The label of commands and runners that name none.
pub const DEFAULT_LABEL: &str = "default";

fn default_label() -> String {
    DEFAULT_LABEL.to_owned()
}

fn default_wall() -> Int64 {
    Int64(3_600)
}

fn default_attempts() -> Int64 {
    Int64(1)
}

/// What a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Type {
    /// Text without control characters that does not begin with `-`.
    #[default]
    Text,
    /// An integer of 64 bits.
    Integer,
    /// A finite number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// From how it is written. By hand, because the derived way does not say which field was no text.
impl TryFrom<String> for Type {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Ok(match name.as_str() {
            "text" => Self::Text,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return Err("a type is text, integer, number or boolean".to_owned()),
        })
    }
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What its value has to be.
    #[serde(default, rename = "type")]
    pub kind: Type,
    /// Its value where a run gives none; without one, a run has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
    /// The form of the whole value: `*` stands for any text, `?` for one character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Its only values.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "wire::list")]
    pub choices: Vec<Scalar>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A value as text; it may be written as a number or a truth as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                Ok(Self(value.to_string()))
            }
            _ => Err(D::Error::custom("it is not a text, a number, true or false")),
        }
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A command with the values of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Filled {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables of the environment, with one `STRONGBACK_PARAM_<NAME>` for each parameter.
    pub env: BTreeMap<String, String>,
}

impl Definition {
    /// Refuses what cannot be run, or not safely.
    pub fn check(&self) -> Result<()> {
        self.check_sizes()?;
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        if program.trim().is_empty() || parameter_of(program).is_some() {
            return Err(wrong(
                "argv",
                program,
                "its first element is the program, which no parameter stands for",
            ));
        }
        for text in self.argv.iter().skip(1).chain(self.env.values()) {
            if let Some(name) = parameter_of(text).filter(|name| !self.params.contains_key(*name)) {
                return Err(wrong("params", name, "it is named by argv or env and not declared"));
            }
        }
        for text in &self.argv {
            self.check_parts("argv", text)?;
        }
        for text in self.env.values() {
            self.check_parts("env", text)?;
        }
        for name in self.env.keys() {
            if !is_variable(name) || RESERVED.iter().any(|prefix| name.starts_with(prefix)) {
                return Err(wrong(
                    "env",
                    name,
                    "it is no name of a variable, or one that the runner sets itself",
                ));
            }
        }
        for (name, parameter) in &self.params {
            if !is_variable(name) {
                return Err(wrong(
                    "params",
                    name,
                    "a name has letters, digits and _, and begins with no digit",
                ));
            }
            parameter.check(name)?;
        }
        if !is_label(&self.label) {
            return Err(wrong("label", &self.label, "it has 1 to 64 letters, digits, '.', '-' and '_'"));
        }
        self.check_limits()
    }

    /// Refuses a text of which a parameter seems to be a part: it would be handed on as it is written.
    fn check_parts(&self, field: &str, text: &str) -> Result<()> {
        if parameter_of(text).is_some() {
            return Ok(());
        }
        match self.params.keys().find(|name| text.contains(&format!("{{{name}}}"))) {
            None => Ok(()),
            Some(name) => Err(wrong(
                field,
                text,
                &format!(
                    "{{{name}}} stands for the parameter only where it is the whole of it, so that no value can change the rest. \
                     Give it as an argument of its own, \"{{{name}}}\", or let the program read the variable \
                     STRONGBACK_PARAM_{}",
                    name.to_uppercase()
                ),
            )),
        }
    }

    fn check_sizes(&self) -> Result<()> {
        let counts = [
            ("argv", self.argv.len(), ARGUMENTS_MAX),
            ("env", self.env.len(), ENTRIES_MAX),
            ("params", self.params.len(), ENTRIES_MAX),
        ];
        for (field, count, most) in counts {
            if count > most {
                return Err(Error::invalid(format!("'{field}' has {count} entries; the limit is {most}.")));
            }
        }
        self.argv.iter().try_for_each(|text| check_text("argv", text, TEXT_CHARS_MAX))?;
        self.env.values().try_for_each(|text| check_text("env", text, TEXT_CHARS_MAX))
    }

    fn check_limits(&self) -> Result<()> {
        let limits = [
            ("wall_seconds", Some(self.wall_seconds), WALL_SECONDS_MAX),
            ("processor_seconds", self.processor_seconds, PROCESSOR_SECONDS_MAX),
            ("memory_mb", self.memory_mb, MEMORY_MB_MAX),
            ("max_attempts", Some(self.max_attempts), ATTEMPTS_MAX),
        ];
        for (field, value, most) in limits {
            if let Some(Int64(value)) = value.filter(|value| !(1..=most).contains(&value.0)) {
                return Err(wrong(field, &value.to_string(), &format!("it is 1 to {most}")));
            }
        }
        Ok(())
    }

    /// The value of each parameter: what a run gives, or its default. Refuses what does not fit, with the parameter's name.
    pub fn values(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        if let Some(unknown) = given.keys().find(|name| !self.params.contains_key(*name)) {
            let known: Vec<&str> = self.params.keys().map(String::as_str).collect();
            let known =
                if known.is_empty() { "It has none".into() } else { format!("It has: {}", known.join(", ")) };
            return Err(wrong("params", unknown, &format!("the command has no such parameter. {known}")));
        }
        let value = |(name, parameter): (&String, &Parameter)| {
            let value = given.get(name).or(parameter.default.as_ref().map(|default| &default.0));
            let value = value.ok_or_else(|| Error::required(&format!("params.{name}")))?;
            Ok((name.clone(), parameter.fit(name, value)?))
        };
        self.params.iter().map(value).collect()
    }

    /// The command with the values of all its parameters.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Filled {
        let filled = |text: &String| {
            let value = parameter_of(text).and_then(|name| values.get(name));
            value.unwrap_or(text).clone()
        };
        let mut env: BTreeMap<String, String> =
            self.env.iter().map(|(name, text)| (name.clone(), filled(text))).collect();
        env.extend(
            values
                .iter()
                .map(|(name, value)| (format!("STRONGBACK_PARAM_{}", name.to_uppercase()), value.clone())),
        );
        Filled { argv: self.argv.iter().map(filled).collect(), env }
    }
}

impl Parameter {
    fn check(&self, name: &str) -> Result<()> {
        if self.choices.len() > ENTRIES_MAX {
            return Err(Error::invalid(format!(
                "'params.{name}.choices' has {} entries; the limit is {ENTRIES_MAX}.",
                self.choices.len()
            )));
        }
        check_text("params.pattern", self.pattern.as_deref().unwrap_or_default(), glob::CHARS_MAX)?;
        check_text("params.comment", self.comment.as_deref().unwrap_or_default(), TEXT_CHARS_MAX)?;
        for value in self.choices.iter().chain(&self.default) {
            self.fit(name, &value.0)?;
        }
        Ok(())
    }

    /// A value in the one form that its type has, if it fits.
    fn fit(&self, name: &str, value: &str) -> Result<String> {
        let field = format!("params.{name}");
        check_text(&field, value, TEXT_CHARS_MAX)?;
        let refused = |why: String| Err(wrong(&field, value, &why));
        let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let kept = match self.kind {
            Type::Integer => match value.trim().parse::<i64>() {
                Ok(number) => number.to_string(),
                Err(_) => return refused("it is not an integer of 64 bits".into()),
            },
            Type::Number if number.is_some() => value.trim().to_owned(),
            Type::Number => return refused("it is not a finite number".into()),
            Type::Boolean if matches!(value, "true" | "false") => value.to_owned(),
            Type::Boolean => return refused("it is true or false".into()),
            Type::Text => {
                let may_be_option = self.pattern.as_deref().is_some_and(|pattern| pattern.starts_with('-'));
                if value.starts_with('-') && !may_be_option {
                    return refused("a program could take what begins with '-' for an option".into());
                }
                if value.chars().any(char::is_control) {
                    return refused("it has control characters".into());
                }
                value.to_owned()
            }
        };
        if matches!(self.kind, Type::Integer | Type::Number) {
            if let Some(least) = self.min.filter(|least| number.is_none_or(|number| number < *least)) {
                return refused(format!("it is {least} or more"));
            }
            if let Some(most) = self.max.filter(|most| number.is_none_or(|number| number > *most)) {
                return refused(format!("it is {most} or less"));
            }
        }
        if let Some(pattern) = self.pattern.as_deref().filter(|pattern| !glob::fits(pattern, &kept)) {
            return refused(format!("it has the form '{pattern}'"));
        }
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice.0 == kept) {
            let choices: Vec<&str> = self.choices.iter().map(|choice| choice.0.as_str()).collect();
            return refused(format!("it is one of {}", choices.join(", ")));
        }
        Ok(kept)
    }
}

/// The parameter that a whole text stands for.
fn parameter_of(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    is_variable(name).then_some(name)
}

fn is_variable(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Whether a text may be the label of a command or a runner, or the name of a runner.
pub fn is_label(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_'))
}

fn wrong(field: &str, value: &str, why: &str) -> Error {
    let shown: String = value.chars().take(100).collect();
    Error::invalid(format!("Invalid value {shown:?} for parameter '{field}' supplied: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAIN: &str = r#"
        argv = ["python", "/opt/train.py", "--data", "{data}", "--depth", "{depth}", "{not a parameter}"]
        label = "gpu"
        wall_seconds = 60
        [env]
        MODE = "{mode}"
        THREADS = "2"
        [params.data]
        pattern = "prod.risk.*"
        [params.depth]
        type = "integer"
        default = 8
        min = 1
        max = 32
        [params.mode]
        choices = ["fast", "exact"]
        default = "fast"
    "#;

    fn train() -> Definition {
        let definition: Definition = toml::from_str(TRAIN).unwrap();
        definition.check().unwrap();
        definition
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn braces_that_name_no_parameter_are_plain_text() {
        let toml = "argv = ['a', '--format={asctime}', '{\"depth\": 1}']\n[params.depth]";
        toml::from_str::<Definition>(toml).unwrap().check().unwrap();
    }

    #[test]
    fn values_take_the_place_of_whole_arguments() {
        let train = train();
        let values =
            train.values(&given(&[("data", "prod.risk.cards; rm -rf /"), ("depth", " 9 ")])).unwrap();
        let filled = train.fill(&values);
        assert_eq!(
            filled.argv,
            [
                "python",
                "/opt/train.py",
                "--data",
                "prod.risk.cards; rm -rf /",
                "--depth",
                "9",
                "{not a parameter}"
            ]
        );
        assert_eq!(filled.env["MODE"], "fast");
        assert_eq!(filled.env["STRONGBACK_PARAM_DEPTH"], "9");
        assert_eq!(filled.env.len(), 5);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let train = train();
        let check = |pairs: &[(&str, &str)], part: &str| {
            let error = train.values(&given(pairs)).unwrap_err();
            assert!(error.message().contains(part), "{pairs:?}: {error}");
        };
        let data = ("data", "prod.risk.x");
        check(&[], "'params.data'");
        check(&[("data", "prod.other.x")], "form 'prod.risk.*'");
        check(&[("data", "-prod.risk.x")], "for an option");
        check(&[("data", "prod.risk.\nx")], "control characters");
        check(&[data, ("depth", "deep")], "not an integer");
        check(&[data, ("depth", "33")], "32 or less");
        check(&[data, ("depth", "0")], "1 or more");
        check(&[data, ("mode", "slow")], "one of fast, exact");
        check(&[data, ("widht", "1")], "It has: data, depth, mode");
        assert!(train.values(&given(&[data])).is_ok());
    }

    #[test]
    fn a_declaration_that_cannot_be_run_is_refused_by_field() {
        let check = |toml: &str, part: &str| {
            let error = toml::from_str::<Definition>(toml).map_err(|error| error.to_string());
            let said =
                error.map_or_else(|error| error, |parsed| parsed.check().unwrap_err().message().to_owned());
            assert!(said.contains(part), "{toml}: {said}");
        };
        check("argv = []", "'argv'");
        check("argv = ['{p}']\n[params.p]", "which no parameter stands for");
        check("argv = ['a', '{p}']", "'params'");
        check("argv = ['a', 'd={p}']\n[params.p]", "the variable STRONGBACK_PARAM_P");
        check("argv = ['a']\n[env]\nD = 'd{p}'\n[params.p]", "'env'");
        check("argv = ['a']\nlabel = 'a b'", "'label'");
        check("argv = ['a']\nwall_seconds = 0", "'wall_seconds'");
        check("argv = ['a']\nmax_attempts = 101", "'max_attempts'");
        check("argv = ['a']\n[env]\nSTRONGBACK_TOKEN = 'x'", "'env'");
        check("argv = ['a']\n[env]\n'A=B' = 'x'", "'env'");
        check("argv = ['a']\n[params.'x-y']", "'params'");
        check("argv = ['a']\n[params.x]\ntype = 'integer'\ndefault = 'y'", "'params.x'");
        check("argv = ['a']\n[params.x]\nmax = 1\ntype = 'integer'\nchoices = [2]", "'params.x'");
        check("argv = 'a b'", "argv");
        check("argv = ['a']\nshell = true", "unknown field `shell`");
        check("argv = ['a']\n[params.x]\ntype = 'date'", "a type is text, integer, number or boolean");
    }

    /// The digest of a version is made of this form: it must not change.
    #[test]
    fn the_stored_form_is_fixed() {
        let stored = serde_json::to_string(&train()).unwrap();
        assert_eq!(
            stored,
            r#"{"argv":["python","/opt/train.py","--data","{data}","--depth","{depth}","{not a parameter}"],"env":{"MODE":"{mode}","THREADS":"2"},"params":{"data":{"type":"text","pattern":"prod.risk.*"},"depth":{"type":"integer","default":"8","min":1.0,"max":32.0},"mode":{"type":"text","default":"fast","choices":["fast","exact"]}},"label":"gpu","wall_seconds":60,"max_attempts":1,"retry_failed":false}"#
        );
        assert_eq!(serde_json::from_str::<Definition>(&stored).unwrap(), train());
    }
}
