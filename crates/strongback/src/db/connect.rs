//! A connection to PostgreSQL that does not wait for ever: neither for a server that does not answer, nor on one that
//! went away without a word.

use std::time::Duration;

use postgres::{Client, Config, NoTls, config::SslMode, error::SqlState};

use super::tls::{self, Tls};
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
    let (mut config, tls) = read(url).map_err(Error::invalid)?;
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
    connect(&mut config, &tls)
}

fn connect(config: &mut Config, tls: &Tls) -> Result<Client> {
    let away = |error| {
        Error::unavailable("PostgreSQL does not answer under the configured database URL.").because(error)
    };
    if config.get_ssl_mode() == SslMode::Disable {
        return config.connect(NoTls).map_err(away);
    }
    // Callers need not know what files there are, or what stands in the database's certificate.
    let unproved = |why: String| {
        Error::unavailable(
            "There is no connection to PostgreSQL as the configured database URL asks for it (sslmode, sslrootcert, sslcert).",
        )
        .because(why)
    };
    let error = match config.connect(tls.connector().map_err(unproved)?) {
        Ok(client) => return Ok(client),
        Err(error) => error,
    };
    let why = tls::why_refused(&error);
    // A server may take this caller only without encryption, and says so once it is encrypted (pg_hba.conf: hostnossl).
    let is_unwanted = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    if tls.is_optional() && (is_unwanted || why.is_some()) {
        return config.ssl_mode(SslMode::Disable).connect(NoTls).map_err(away);
    }
    match why {
        Some(why) => Err(unproved(why)),
        None => Err(away(error)),
    }
}

/// Looks whether a connection URL can be read; the error says what is wrong with it and never repeats it, since it holds a
/// password.
pub(crate) fn check(url: &str) -> Result<(), String> {
    read(url).map(|_| ())
}

fn read(url: &str) -> Result<(Config, Tls), String> {
    let (url, tls) = Tls::take(url)?;
    let mut config: Config = url.parse().map_err(|error: postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("it cannot be read: {}.", cause.unwrap_or_else(|| error.to_string()))
    })?;
    tls.apply(&mut config)?;
    Ok((config, tls))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn urls_are_read_and_what_cannot_be_kept_is_refused() {
        for right in [
            "postgres://me:x@db:5433/strongback?sslmode=disable&application_name=a",
            "postgresql:///strongback?host=/run/postgresql&user=me",
            "postgres://me:x@db/x?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres://me:x@db/x?sslmode=require&sslnegotiation=direct",
        ] {
            check(right).unwrap();
        }
        for (wrong, why) in [
            ("postgres://me:hush@db/x?no_such=option", "cannot be read"),
            ("postgres://me:hush@db:port/x", "cannot be read"),
            ("postgres://me:hush@db/x?sslmode=maybe", "verify-full"),
            ("postgres://me:hush@db/x?sslnegotiation=direct", "sslmode=require"),
            ("postgres://me:hush@db/x?sslnegotiation=direct&sslmode=disable", "sslmode=require"),
        ] {
            let said = check(wrong).unwrap_err();
            assert!(said.contains(why) && !said.contains("hush"), "{said}");
        }
    }
}
