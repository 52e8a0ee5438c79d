//! The configuration: flags over environment over `strongback.toml` over defaults, and where each value came from.
//!
//! Every setting is read as text from each layer and parsed by one function, so that a wrong value is refused in the
//! same words wherever it stands.

use std::{env, fmt, net::IpAddr, path::PathBuf};

use crate::{
    auth,
    error::{Error, Result},
    outbound::AllowList,
    router::prefix::Prefix,
};

/// Name of the file in the working directory.
pub const FILE: &str = "strongback.toml";

/// Settings that may be set to nothing. Elsewhere an empty text is a variable that somebody forgot to fill.
const MAY_BE_EMPTY: &[&str] = LISTS;

/// Settings that are lists, which a file may have as such.
const LISTS: &[&str] = &["allowed_hosts", "readable_roots", "webhooks_allow"];

/// Settings that are numbers, which a file may have without quotes.
const NUMBERS: &[&str] = &[
    "port",
    "job_workers",
    "job_retention_days",
    "query_memory_mb",
    "query_spill_mb",
    "worker_memory_mb",
    "scoring_seconds",
    "payload_seconds",
];

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

/// Who may set aside what governs an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overriders {
    /// Administrators alone.
    Administrators,
    /// Whoever may manage the model, too.
    Owners,
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
                            let value = not_empty(name, &text).and_then(parse).map_err(|why| wrong(name, &text, &source, &why))?;
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
    /// Host names that the server answers to besides loopback and its own address; `*` stands for any text in them. A port behind one
    /// says nothing.
    allowed_hosts: Vec<String> = Vec::new(), parse_hosts, |hosts| hosts.join(",");
    /// Jobs of the server's own that run at once.
    job_workers: u16 = 2, |text| parse_number(text, 1, 64), ToString::to_string;
    /// Days after which a job that has ended is forgotten.
    job_retention_days: u16 = 30, |text| parse_number(text, 1, 3650), ToString::to_string;
    /// `auto`, `off`, or the directory of the installed mlflow's web pages.
    mlflow_ui: String = "off".into(), |text| Ok(text.to_owned()), String::clone;
    /// A path below which everything is answered once more, for a proxy that passes it on: `/mlflow`.
    static_prefix: Option<Prefix> = None, parse_prefix, |prefix| prefix.as_ref().map_or_else(String::new, ToString::to_string);
    /// Where tables lie: a directory, or a URL such as `s3://bucket/prefix`. Nothing said: `tables` in the data directory.
    tables_url: Option<String> = None, |text| Ok(Some(text.trim().to_owned())), |place| place.clone().unwrap_or_default();
    /// Where artifacts lie, if not in the data directory: a URL such as `s3://bucket/prefix`.
    artifacts_url: Option<bucket::Address> = None, parse_artifacts_url, |place| place.as_ref().map_or_else(String::new, ToString::to_string);
    /// Whether clients that ask for an address get one of the object store, where artifacts lie in one: `on` or `off`.
    artifacts_presign: bool = true, parse_switch, |is_on| if *is_on { "on".into() } else { "off".into() };
    /// Where clients themselves keep the files of experiments that are made without a place of their own: a URL such as
    /// `s3://bucket/prefix`. Nothing said: here.
    default_artifact_root: Option<bucket::Root> = None, parse_root, |place| place.as_ref().map_or_else(String::new, ToString::to_string);
    /// Places in object stores in which clients keep files of runs themselves, and of which this server may show those of a run to whoever
    /// may read the run.
    readable_roots: Vec<bucket::Root> = Vec::new(), parse_roots, |places| places.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    /// Memory that all queries together may use, in MiB, before they use the disk.
    query_memory_mb: u64 = 1024, parse_megabytes, ToString::to_string;
    /// Disk space that all queries together may use for a while, in MiB.
    query_spill_mb: u64 = 20_480, parse_megabytes, ToString::to_string;
    /// What a logged request survives once it is answered: `power` (a power cut) or `process` (the death of the server).
    payload_log: journal::Mode = journal::Mode::Power, parse_payload_log, |mode| match mode { journal::Mode::Power => "power".into(), journal::Mode::Process => "process".into() };
    /// How long a logged request waits at most until it is in its payload table, in seconds.
    payload_seconds: u16 = 60, |text| parse_number(text, 1, 3600), ToString::to_string;
    /// The Python that loads models which do not run in this process: a path, or a name to be found in PATH.
    worker_python: String = "python3".into(), |text| Ok(text.trim().to_owned()), String::clone;
    /// Memory that a model's Python process may have resident, in MiB.
    worker_memory_mb: u64 = 4096, parse_megabytes, ToString::to_string;
    /// The file of ONNX Runtime's library. Nothing said: the one of the onnxruntime package of `worker_python`.
    onnxruntime_library: Option<PathBuf> = None, |text| Ok(Some(PathBuf::from(text.trim()))), |path| path.as_ref().map_or_else(String::new, |path| path.display().to_string());
    /// How long a model may take to answer one request, in seconds.
    scoring_seconds: u16 = 30, |text| parse_number(text, 1, 600), ToString::to_string;
    /// Who may override the gates of a governed alias and loosen what governs it: `administrators`, or `owners` of the model.
    gate_overrides: Overriders = Overriders::Administrators, parse_overriders, |who| match who { Overriders::Administrators => "administrators".into(), Overriders::Owners => "owners".into() };
    /// Hosts, addresses and ranges of addresses that webhooks may reach although they are not public, or speak plain HTTP.
    webhooks_allow: AllowList = AllowList::default(), AllowList::parse, ToString::to_string;
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
            if let Some(text) = read_variable(&variable(name))? {
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
            return Err(open_to_the_network(&self.host.value));
        }
        // What anybody may register a name to fit: 192.168.* fits 192.168.example.com.
        if self.auth.value == Auth::Off
            && let Some(pattern) = self.allowed_hosts.value.iter().find(|name| name.contains('*'))
        {
            return Err(Error::invalid(format!(
                "allowed_hosts = {pattern} with authentication off would let any web page that a browser here opens reach the \
                 server by a name of its own. Name the hosts, or start with --auth tokens."
            )));
        }
        Ok(())
    }

    /// Refuses to serve at the address that the host turned out to be, as [`Config::check`] does by its name.
    pub fn check_address(&self, ip: IpAddr) -> Result<()> {
        if self.auth.value == Auth::Off && !ip.to_canonical().is_loopback() {
            return Err(open_to_the_network(&format!("{} ({ip})", self.host.value)));
        }
        Ok(())
    }

    /// Tables, and the engine over them. Nothing is opened.
    pub fn lake(&self) -> Result<lake::Lake> {
        let dir = &self.data_dir.value;
        let root = match &self.tables_url.value {
            Some(place) => lake::Root::parse(place)?,
            None => lake::Root::parse(&dir.join("tables").display().to_string())?,
        };
        let limits = lake::Limits {
            memory_bytes: usize::try_from(self.query_memory_mb.value << 20).unwrap_or(usize::MAX),
            spill_bytes: self.query_spill_mb.value << 20,
            spill_dir: dir.join("query-spill"),
            threads: std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 16)),
        };
        Ok(lake::Lake::new(root, limits))
    }

    /// Where the metadata lies.
    pub fn location(&self) -> crate::db::Location {
        match &self.database_url.value {
            Some(url) => crate::db::Location::Postgres(url.0.clone()),
            None => crate::db::Location::Sqlite(self.data_dir.value.join("metadata.db")),
        }
    }
}

fn open_to_the_network(place: &str) -> Error {
    Error::invalid(format!(
        "Listening on {place} would let anybody on the network in, since authentication is off. Start with --auth tokens \
         (make the first token with: strongback token create --principal NAME --admin), or listen on 127.0.0.1."
    ))
}

/// The environment variable of a setting.
pub fn variable(name: &str) -> String {
    format!("STRONGBACK_{}", name.to_uppercase())
}

/// The text of an environment variable. One that is no text is refused: what somebody wrote is never left out in silence.
pub(crate) fn read_variable(variable: &str) -> Result<Option<String>> {
    match env::var(variable) {
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::invalid(format!(
            "The environment variable {variable} is not valid UTF-8. Write it anew, or unset it."
        ))),
    }
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
        if !Config::NAMES.contains(&name.as_str()) {
            return Err(Error::invalid(format!(
                "The configuration file {} sets {name:?}, which is not a setting. Settings are: {}.",
                path.display(),
                Config::NAMES.join(", ")
            )));
        }
        let text = text_of(&name, value).map_err(|why| {
            Error::invalid(format!(
                "The setting {name} (file {}) has the wrong type: it must be {why}.",
                path.display()
            ))
        })?;
        layer.set(&name, text);
    }
    Ok(layer)
}

/// What the file says of a setting, as another layer would write it; or what would have been right.
fn text_of(name: &str, value: toml::Value) -> Result<String, &'static str> {
    match (name, value) {
        (_, toml::Value::String(text)) => Ok(text),
        (name, toml::Value::Integer(number)) if NUMBERS.contains(&name) => Ok(number.to_string()),
        (name, _) if NUMBERS.contains(&name) => Err("a number"),
        (name, toml::Value::Array(hosts)) if LISTS.contains(&name) => {
            let hosts: Option<Vec<&str>> = hosts.iter().map(toml::Value::as_str).collect();
            hosts.map(|hosts| hosts.join(",")).ok_or("a list of texts in quotes")
        }
        (name, _) if LISTS.contains(&name) => Err("a list of texts in quotes"),
        _ => Err("a text in quotes"),
    }
}

fn not_empty<'t>(name: &str, text: &'t str) -> Result<&'t str, String> {
    if text.trim().is_empty() && !MAY_BE_EMPTY.contains(&name) {
        return Err("it is empty. Leave it out (or unset the variable) to have the default.".into());
    }
    Ok(text)
}

fn wrong(name: &str, text: &str, source: &Source, why: &str) -> Error {
    let shown =
        if matches!(name, "database_url" | "artifacts_url" | "default_artifact_root" | "readable_roots") {
            "…"
        } else {
            text
        };
    Error::invalid(format!("The setting {name} = {shown:?} ({source}) is not allowed: {why}"))
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.trim().parse().map_err(|_| "it must be a number from 0 to 65535; 0 takes a free port.".into())
}

fn parse_megabytes(text: &str) -> Result<u64, String> {
    const MOST: u64 = 1 << 24;
    let wanted = text.trim().parse().ok().filter(|number| (16..=MOST).contains(number));
    wanted.ok_or_else(|| format!("it must be a number of MiB from 16 to {MOST}."))
}

fn parse_number(text: &str, least: u16, most: u16) -> Result<u16, String> {
    let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("it must be a number from {least} to {most}."))
}

fn parse_auth(text: &str) -> Result<Auth, String> {
    match text.trim() {
        "off" => Ok(Auth::Off),
        "tokens" => Ok(Auth::Tokens),
        _ => Err("it must be off or tokens.".into()),
    }
}

fn parse_overriders(text: &str) -> Result<Overriders, String> {
    match text.trim() {
        "administrators" => Ok(Overriders::Administrators),
        "owners" => Ok(Overriders::Owners),
        _ => Err("it must be administrators or owners.".into()),
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it must be on or off.".into()),
    }
}

fn parse_prefix(text: &str) -> Result<Option<Prefix>, String> {
    text.trim().parse().map(Some)
}

fn parse_artifacts_url(text: &str) -> Result<Option<bucket::Address>, String> {
    text.parse().map(Some).map_err(|why| format!("{why}. Without it artifacts lie in the data directory."))
}

fn parse_root(text: &str) -> Result<Option<bucket::Root>, String> {
    text.parse().map(Some).map_err(|why| format!("{why}. Without it clients send files to the server."))
}

/// A place is told by its number: it may have a password.
fn parse_roots(text: &str) -> Result<Vec<bucket::Root>, String> {
    let places = text.split(',').map(str::trim).filter(|place| !place.is_empty());
    places
        .enumerate()
        .map(|(at, place)| place.parse().map_err(|why| format!("place {}: {why}.", at + 1)))
        .collect()
}

fn parse_payload_log(text: &str) -> Result<journal::Mode, String> {
    match text {
        "power" => Ok(journal::Mode::Power),
        "process" => Ok(journal::Mode::Process),
        _ => Err("it is power or process".into()),
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
fn parse_hosts(text: &str) -> Result<Vec<String>, String> {
    let hosts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Ok(hosts.map(|host| without_port(host).to_owned()).collect())
}

/// A host as it is compared: `10.0.0.1` of `10.0.0.1:5000`, `::1` of `[::1]:5000` and of `::1`.
fn without_port(host: &str) -> &str {
    if let Some((bare, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return bare;
    }
    let is_port =
        |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*');
    match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    }
}

fn parse_database_url(text: &str) -> Result<Option<DatabaseUrl>, String> {
    let text = text.trim();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        crate::db::connect::check(text)?;
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
    fn what_is_served_survives_a_power_cut_unless_somebody_says_otherwise() {
        let config = resolve(&[]).unwrap();
        assert_eq!(
            (config.payload_log.value, config.payload_log.source),
            (journal::Mode::Power, Source::Default)
        );
        let config = resolve(&[("payload_log", "process", Source::Flag)]).unwrap();
        assert_eq!(config.payload_log.value, journal::Mode::Process);
        let error = resolve(&[("payload_log", "none", Source::Flag)]).unwrap_err();
        assert!(error.message().contains("payload_log = \"none\""), "{error}");
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
        for pattern in ["*", "192.168.*", "a.example, *.b.example"] {
            let open = resolve(&[("allowed_hosts", pattern, Source::Flag)]).unwrap();
            assert!(open.check().is_err_and(|error| error.message().contains("--auth tokens")), "{pattern}");
        }
        let open =
            resolve(&[("host", "localhost", Source::Flag), ("allowed_hosts", "a.example", Source::Flag)]);
        let open = open.unwrap();
        assert!(open.check().is_ok());
        // Whatever the resolver makes of the name.
        for (ip, is_ok) in [
            ("127.0.0.1", true),
            ("127.0.1.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.7", false),
            ("0.0.0.0", false),
            ("::", false),
            ("::ffff:192.0.2.7", false),
        ] {
            assert_eq!(open.check_address(ip.parse().unwrap()).is_ok(), is_ok, "{ip}");
        }
        let with_tokens = resolve(&[("auth", "tokens", Source::Flag)]).unwrap();
        assert!(with_tokens.check_address("192.0.2.7".parse().unwrap()).is_ok());
    }

    #[test]
    fn hosts_are_compared_without_their_ports() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(parse_hosts(text).unwrap(), expected, "{text}");
        };
        check("ml.example.com, 10.0.0.1:5000,,*:8080", &["ml.example.com", "10.0.0.1", "*"]);
        check("::1,[::1]:5000,fe80::1,a:*", &["::1", "::1", "fe80::1", "a"]);
        check("", &[]);
    }

    #[test]
    fn an_empty_setting_is_refused_by_name() {
        for name in Config::NAMES {
            let outcome = resolve(&[(name, " ", Source::Environment(variable(name)))]);
            if MAY_BE_EMPTY.contains(name) {
                assert!(outcome.is_ok(), "{name}");
                continue;
            }
            let error = outcome.unwrap_err();
            let message = error.message();
            assert!(message.contains(&variable(name)) && message.contains("it is empty"), "{message}");
        }
    }

    #[test]
    fn the_file_has_types_and_nothing_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_file(&path)
        };
        for (text, name) in [
            ("allowed_hosts = [1, 2]", "allowed_hosts"),
            ("allowed_hosts = ['a', ['b']]", "allowed_hosts"),
            ("allowed_hosts = 5", "allowed_hosts"),
            ("data_dir = ['a', 'b']", "data_dir"),
            ("data_dir = 7", "data_dir"),
            ("auth = false", "auth"),
            ("port = 5000.0", "port"),
            ("database_url = { password = 'hush' }", "database_url"),
        ] {
            let error = read(text).unwrap_err();
            let message = error.message();
            assert!(message.contains(&format!("The setting {name} (file ")), "{text}: {message}");
            assert!(message.contains("wrong type") && !message.contains("hush"), "{text}: {message}");
        }
        let layer = read("allowed_hosts = ['a', 'b']\nport = 7001\nauth = 'off'").unwrap();
        assert_eq!(layer.allowed_hosts.as_deref(), Some("a,b"));
        assert_eq!(layer.port.as_deref(), Some("7001"));
        assert_eq!(layer.auth.as_deref(), Some("off"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = DatabaseUrl("postgres://me:hush@db/x?password=hush".into()).to_string();
        assert!(!shown.contains("hush"), "{shown}");
    }
}
