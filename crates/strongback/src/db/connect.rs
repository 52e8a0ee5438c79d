//! A connection to PostgreSQL that does not wait for ever: neither for a server that does not answer, nor on one that
//! went away without a word.

use std::time::Duration;

use postgres::{Client, Config, NoTls, config::SslMode};

use crate::error::{Error, Result};

/// How long a server may take to answer a new connection.
const CONNECT: Duration = Duration::from_secs(10);
/// When a silent connection is asked whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long after a question that had no answer it is asked again.
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(10);
/// Questions without an answer after which a connection is dead.
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent bytes may go without a sign from the other side. Above the limit of a statement.
const SILENT: Duration = Duration::from_secs(75);

/// Connects; what the URL says about waiting comes first.
pub(crate) fn postgres(url: &str) -> Result<Client> {
    let mut config = parse(url).map_err(Error::invalid)?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENT);
    }
    config.keepalives_idle(KEEPALIVE);
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE_AGAIN);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    if config.get_application_name().is_none() {
        config.application_name("strongback");
    }
    config.connect(NoTls).map_err(|error| {
        Error::unavailable("PostgreSQL does not answer under the configured database URL.").because(error)
    })
}

/// Reads a connection URL; the error says what is wrong with it and never repeats it, since it holds a password.
pub(crate) fn parse(url: &str) -> Result<Config, String> {
    const NO_TLS: &str = "it asks for an encrypted connection (sslmode), and this version speaks to PostgreSQL without \
                          TLS. Use a Unix socket or a network that you trust, or put a tunnel in between (stunnel, \
                          PgBouncer in session mode, your cloud's own proxy) and connect to that.";
    if ["verify-ca", "verify-full"].iter().any(|mode| url.contains(&format!("sslmode={mode}"))) {
        return Err(NO_TLS.into());
    }
    let config: Config = url.parse().map_err(|error: postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("it cannot be read: {}.", cause.unwrap_or_else(|| error.to_string()))
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(NO_TLS.into());
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn urls_are_read_and_what_cannot_be_kept_is_refused() {
        assert!(parse("postgres://me:x@db:5433/strongback?sslmode=disable&application_name=a").is_ok());
        assert!(parse("postgresql:///strongback?host=/run/postgresql&user=me").is_ok());
        for mode in ["require", "verify-ca", "verify-full"] {
            let why = parse(&format!("postgres://me:hush@db/x?sslmode={mode}")).unwrap_err();
            assert!(why.contains("without TLS") && !why.contains("hush"), "{why}");
        }
        for wrong in ["postgres://me:hush@db/x?no_such=option", "postgres://me:hush@db:port/x"] {
            let why = parse(wrong).unwrap_err();
            assert!(why.contains("cannot be read") && !why.contains("hush"), "{why}");
        }
    }
}
