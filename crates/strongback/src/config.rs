//! The configuration: flags over environment over `strongback.toml` over defaults, and where each value came from.
//!
//! Every setting is read as text from each layer and parsed by one function, so that a wrong value is refused in the
//! same words wherever it stands.

use std::{fmt, path::PathBuf};

use crate::{
    auth,
    error::{Error, Result},
};

/// Name of the file in the working directory.
pub const FILE: &str = "strongback.toml";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment(String),
    /// The configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Tells where a layer has a setting from, by the setting's name.
pub type SourceOf<'a> = dyn Fn(&str) -> Source + 'a;

/// A value and its source.
#[derive(Debug, Clone)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

/// A database URL; its password is not shown.
#[derive(Clone)]
pub struct DatabaseUrl(pub String);

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match url::Url::parse(&self.0) {
            Ok(mut url) if url.password().is_some() => {
                let _ = url.set_password(Some("***"));
                // The query may hold a password as well.
                url.set_query(None);
                f.write_str(url.as_str())
            }
            Ok(mut url) => {
                url.set_query(None);
                f.write_str(url.as_str())
            }
            Err(_) => f.write_str("(unreadable)"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a token is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// No; only on loopback.
    Off,
    /// Yes.
    Tokens,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $parse:expr, $show:expr;)+) => {
        /// Everything that can be set.
        #[derive(Debug, Clone)]
        pub struct Config { $($(#[doc = $doc])+ pub $field: Setting<$type>,)+ }

        /// What one layer says: a text for each setting that it knows.
        #[derive(Debug, Clone, Default)]
        pub struct Layer { $(#[doc = "As it was written."] pub $field: Option<String>,)+ }

        impl Config {
            /// Names of all settings.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)+];

            /// Resolves layers; earlier ones win.
            pub fn resolve(layers: &[(Layer, &SourceOf<'_>)]) -> Result<Self> {
                Ok(Self { $($field: {
                    let name = stringify!($field);
                    let said = layers.iter().find_map(|(layer, source)| layer.$field.clone().map(|text| (text, source(name))));
                    match said {
                        Some((text, source)) => {
                            let parse: fn(&str) -> Result<$type, String> = $parse;
                            let value = parse(&text).map_err(|why| wrong(name, &text, &source, &why))?;
                            Setting { value, source }
                        }
                        None => Setting { value: $default, source: Source::Default },
                    }
                },)+ })
            }

            /// Name, value and source of every setting, for people; a setting that is not there is empty. Secrets are left out.
            pub fn explain(&self) -> Vec<(&'static str, String, Source)> {
                vec![$({
                    let show: fn(&$type) -> String = $show;
                    (stringify!($field), show(&self.$field.value), self.$field.source.clone())
                },)+]
            }
        }

        impl Layer {
            /// Sets one by name.
            pub fn set(&mut self, name: &str, text: String) -> bool {
                match name {
                    $(stringify!($field) => { self.$field = Some(text); true })+
                    _ => false,
                }
            }
        }
    };
}

settings! {
    /// Directory that holds everything: metadata (SQLite), artifacts, keys.
    data_dir: PathBuf = PathBuf::from("strongback-data"), |text| Ok(PathBuf::from(text)), |path| path.display().to_string();
    /// `postgres://…` moves the metadata there.
    database_url: Option<DatabaseUrl> = None, parse_database_url, |url| url.as_ref().map_or_else(String::new, ToString::to_string);
    /// Address to listen on.
    host: String = "127.0.0.1".into(), |text| Ok(text.trim().to_owned()), String::clone;
    /// Port to listen on; 0 takes a free one.
    port: u16 = 5000, parse_port, ToString::to_string;
    /// `off` or `tokens`.
    auth: Auth = Auth::Off, parse_auth, |auth| match auth { Auth::Off => "off".into(), Auth::Tokens => "tokens".into() };
    /// Host names that the server answers to besides loopback and its own address; `*` for any.
    allowed_hosts: Vec<String> = Vec::new(), parse_list, |hosts| hosts.join(",");
    /// `auto`, `off`, or the directory of the installed mlflow's web pages.
    mlflow_ui: String = "off".into(), |text| Ok(text.to_owned()), String::clone;
    /// `text` or `json`.
    log_format: LogFormat = LogFormat::Text, parse_log_format, |format| match format { LogFormat::Text => "text".into(), LogFormat::Json => "json".into() };
    /// What is logged, e.g. `info` or `strongback=debug`.
    log: String = "info".into(), |text| Ok(text.to_owned()), String::clone;
}

impl Config {
    /// How callers are told apart.
    pub fn auth_mode(&self) -> auth::Mode {
        match self.auth.value {
            Auth::Off => auth::Mode::Open,
            Auth::Tokens => auth::Mode::Tokens,
        }
    }

    /// Reads environment and file below the given flags. `file` must exist when it was named.
    pub fn load(flags: Layer, file: Option<PathBuf>) -> Result<Self> {
        let mut environment = Layer::default();
        for name in Self::NAMES {
            if let Ok(text) = std::env::var(variable(name)) {
                environment.set(name, text);
            }
        }
        let named = file.is_some();
        let path = file.unwrap_or_else(|| PathBuf::from(FILE));
        let from_file = if named || path.exists() { read_file(&path)? } else { Layer::default() };
        let file_source = |_: &str| Source::File(path.clone());
        Self::resolve(&[
            (flags, &|_| Source::Flag),
            (environment, &|name| Source::Environment(variable(name))),
            (from_file, &file_source),
        ])
    }

    /// Refuses what must not be served.
    pub fn check(&self) -> Result<()> {
        let loopback = matches!(self.host.value.as_str(), "127.0.0.1" | "localhost" | "::1");
        if !loopback && self.auth.value == Auth::Off {
            return Err(Error::invalid(format!(
                "Listening on {} would let anybody on the network in, since authentication is off. Start with --auth tokens \
                 (make the first token with: strongback token create --principal NAME --admin), or listen on 127.0.0.1.",
                self.host.value
            )));
        }
        if self.auth.value == Auth::Off && self.allowed_hosts.value.iter().any(|name| name == "*") {
            return Err(Error::invalid(
                "allowed_hosts = * with authentication off would let any web page that a browser here opens reach the \
                 server by a name of its own. Name the hosts, or start with --auth tokens.",
            ));
        }
        Ok(())
    }

    /// Where the metadata lies.
    pub fn location(&self) -> crate::db::Location {
        match &self.database_url.value {
            Some(url) => crate::db::Location::Postgres(url.0.clone()),
            None => crate::db::Location::Sqlite(self.data_dir.value.join("metadata.db")),
        }
    }
}

/// The environment variable of a setting.
pub fn variable(name: &str) -> String {
    format!("STRONGBACK_{}", name.to_uppercase())
}

fn read_file(path: &std::path::Path) -> Result<Layer> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::invalid(format!("The configuration file {} cannot be read: {error}.", path.display()))
    })?;
    let table: toml::Table = text.parse().map_err(|error| {
        Error::invalid(format!("The configuration file {} is not valid TOML: {error}", path.display()))
    })?;
    let mut layer = Layer::default();
    for (name, value) in table {
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(values) => {
                values.iter().map(|value| value.as_str().unwrap_or_default()).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        if !layer.set(&name, text) {
            return Err(Error::invalid(format!(
                "The configuration file {} sets {name:?}, which is not a setting. Settings are: {}.",
                path.display(),
                Config::NAMES.join(", ")
            )));
        }
    }
    Ok(layer)
}

fn wrong(name: &str, text: &str, source: &Source, why: &str) -> Error {
    let shown = if name == "database_url" { "…" } else { text };
    Error::invalid(format!("The setting {name} = {shown:?} ({source}) is not allowed: {why}"))
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.trim().parse().map_err(|_| "it must be a number from 0 to 65535; 0 takes a free port.".into())
}

fn parse_auth(text: &str) -> Result<Auth, String> {
    match text.trim() {
        "off" => Ok(Auth::Off),
        "tokens" => Ok(Auth::Tokens),
        _ => Err("it must be off or tokens.".into()),
    }
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    match text.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it must be text or json.".into()),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "all parsers have one type")]
fn parse_list(text: &str) -> Result<Vec<String>, String> {
    Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

fn parse_database_url(text: &str) -> Result<Option<DatabaseUrl>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        crate::db::connect::parse(text)?;
        Ok(Some(DatabaseUrl(text.to_owned())))
    } else {
        Err("it must begin with postgres://; without it the metadata lies in SQLite in the data directory."
            .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(layers: &[(&str, &str, Source)]) -> Result<Config> {
        let built: Vec<(Layer, Box<SourceOf<'_>>)> = layers
            .iter()
            .map(|(name, text, source)| {
                let mut layer = Layer::default();
                assert!(layer.set(name, (*text).into()), "{name}");
                let source = source.clone();
                (layer, Box::new(move |_: &str| source.clone()) as Box<SourceOf<'_>>)
            })
            .collect();
        let borrowed: Vec<(Layer, &SourceOf<'_>)> =
            built.iter().map(|(layer, source)| (layer.clone(), source.as_ref())).collect();
        Config::resolve(&borrowed)
    }

    #[test]
    fn earlier_layers_win_and_are_named() {
        let config = resolve(&[
            ("port", "6000", Source::Flag),
            ("port", "7000", Source::File("x.toml".into())),
            ("auth", "tokens", Source::Environment("STRONGBACK_AUTH".into())),
        ])
        .unwrap();
        assert_eq!((config.port.value, config.port.source), (6000, Source::Flag));
        assert_eq!(config.auth.source.to_string(), "environment STRONGBACK_AUTH");
        assert_eq!(config.host.source, Source::Default);
    }

    #[test]
    fn a_wrong_value_names_setting_value_and_source() {
        let error = resolve(&[("port", "http", Source::Flag)]).unwrap_err();
        assert!(error.message().contains("port = \"http\" (flag)"), "{error}");
        let error = resolve(&[("database_url", "mysql://u:secret@h/d", Source::Flag)]).unwrap_err();
        assert!(!error.message().contains("secret"), "{error}");
    }

    #[test]
    fn an_open_server_stays_on_loopback() {
        assert!(resolve(&[("host", "0.0.0.0", Source::Flag)]).unwrap().check().is_err());
        assert!(
            resolve(&[("host", "0.0.0.0", Source::Flag), ("auth", "tokens", Source::Flag)])
                .unwrap()
                .check()
                .is_ok()
        );
        assert!(resolve(&[("host", "127.0.0.1", Source::Flag)]).unwrap().check().is_ok());
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = DatabaseUrl("postgres://me:hush@db/x?password=hush".into()).to_string();
        assert!(!shown.contains("hush"), "{shown}");
    }
}
