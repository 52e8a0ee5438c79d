//! Where the server connects to because somebody named the place: which places those may be, and a client that goes there
//! and nowhere else.
//!
//! A name is resolved here, every address that it stands for is looked at, and the connection goes to one of those:
//! nothing is resolved again in between, which a name that changes its address could use. What must stay true:
//! - an address of this machine, of a network of one's own or of a cloud's metadata is reached only where the operator
//!   named it ([`AllowList`]); a host that is named may be private, and what is nobody's address ([`Kind::Never`]) needs its
//!   range;
//! - plain HTTP goes only where the operator named the host or its addresses;
//! - no redirect is followed, no proxy of the environment is used, and no connection is kept for the next request.

pub mod address;
mod allow;

use std::{
    collections::BTreeSet,
    error::Error as StdError,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use address::Kind;
pub use allow::AllowList;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::error::{Error, Result};

/// How long a name may take to be resolved.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// How long connecting may take, with the name.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a request may take, with its answer.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Why a place is not gone to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    why: String,
    is_final: bool,
}

impl Refused {
    fn forever(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_final: true }
    }

    /// Whether the place is refused for what it is, and not because its name cannot be resolved at the moment.
    pub fn is_final(&self) -> bool {
        self.is_final
    }
}

/// What is wrong with an address, to be read after its name: `must not …`.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for Refused {}

/// The way out.
pub struct Outbound {
    allow: Arc<AllowList>,
    /// Where TLS is spoken, and where it is not.
    clients: [OnceLock<reqwest::Client>; 2],
}

impl Outbound {
    /// To what everybody may name, and to what the operator did. Nothing is opened.
    pub fn new(allow: AllowList) -> Self {
        Self { allow: Arc::new(allow), clients: [OnceLock::new(), OnceLock::new()] }
    }

    /// Reads an address that somebody wrote. What can be told without resolving its host is refused here.
    pub fn target(&self, text: &str) -> Result<Url, Refused> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Refused::forever("must not contain spaces or control characters."));
        }
        let url = Url::parse(text).map_err(|error| {
            Refused::forever(format!("cannot be read: {error}. Write e.g. https://hooks.example.com/path."))
        })?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => return Err(scheme(other)),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::forever(
                "must not contain a user name or a password; sign with a secret instead.",
            ));
        }
        match url.host() {
            None => return Err(Refused::forever("must include a hostname.")),
            Some(Host::Ipv4(ip)) => self.allow.check("", ip.into(), is_plain)?,
            Some(Host::Ipv6(ip)) => self.allow.check("", ip.into(), is_plain)?,
            Some(Host::Domain(name)) => {
                if is_plain && !self.allow.has_name(plain_name(name)) && !self.allow.has_ranges() {
                    return Err(scheme("http"));
                }
            }
        }
        Ok(url)
    }

    /// The same, with its host resolved: whether one would go there now.
    pub async fn admit(&self, text: &str) -> Result<Url, Refused> {
        let url = self.target(text)?;
        if let Some(Host::Domain(name)) = url.host() {
            self.allow.resolve(name, url.scheme() == "http").await?;
        }
        Ok(url)
    }

    /// What goes to a target, and nowhere else. It resolves the host by itself, and refuses as [`Outbound::admit`] does.
    pub fn client(&self, target: &Url) -> Result<&reqwest::Client> {
        let is_plain = target.scheme() == "http";
        let place = &self.clients[usize::from(is_plain)];
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .dns_resolver(Resolver { allow: Arc::clone(&self.allow), is_plain })
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .user_agent(concat!("strongback/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::internal)?;
        Ok(place.get_or_init(|| client))
    }
}

/// Why a request got no answer: what [`Outbound`] refused, or else the chain of causes without the address, which may have a
/// secret in it.
pub fn cause(error: reqwest::Error) -> (String, Option<Refused>) {
    let error = error.without_url();
    let (mut parts, mut refused) = (vec![error.to_string()], None);
    let mut next = StdError::source(&error);
    while let Some(inner) = next {
        if let Some(why) = inner.downcast_ref::<Refused>() {
            refused = Some(why.clone());
        }
        let text = inner.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = inner.source();
    }
    (parts.join(": "), refused)
}

impl AllowList {
    /// Whether one may go to an address, which a name stands for where there is one.
    fn check(&self, name: &str, ip: IpAddr, is_plain: bool) -> Result<(), Refused> {
        let is_named = self.has_name(plain_name(name));
        if self.has_address(ip) {
            return Ok(());
        }
        if is_plain && !is_named {
            return Err(scheme("http"));
        }
        match address::kind(ip) {
            Kind::Public => Ok(()),
            Kind::Private if is_named => Ok(()),
            kind => {
                let host =
                    if name.is_empty() { String::new() } else { format!("'{name}' resolves to {ip}. ") };
                let what =
                    if kind == Kind::Never { "its range" } else { "the host, or its range of addresses," };
                let shown = if name.is_empty() { format!(" ({ip})") } else { String::new() };
                Err(Refused::forever(format!(
                    "must not resolve to a non-public IP address{shown}. {host}The server's operator allows it by naming {what} in \
                     the setting webhooks_allow."
                )))
            }
        }
    }

    /// The addresses that a name stands for, if one may go to all of them.
    async fn resolve(&self, name: &str, is_plain: bool) -> Result<Vec<SocketAddr>, Refused> {
        let unresolved = |why: String| Refused { why, is_final: false };
        let found = match tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host((name, 0))).await {
            Ok(Ok(found)) => found.collect::<BTreeSet<_>>(),
            Ok(Err(error)) => {
                return Err(unresolved(format!(
                    "has the hostname '{name}', which cannot be resolved: {error}."
                )));
            }
            Err(_) => {
                let seconds = RESOLVE_LIMIT.as_secs();
                return Err(unresolved(format!(
                    "has the hostname '{name}', which was not resolved within {seconds} s."
                )));
            }
        };
        if found.is_empty() {
            return Err(unresolved(format!("has the hostname '{name}', which has no address.")));
        }
        for address in &found {
            self.check(name, address.ip(), is_plain)?;
        }
        Ok(found.into_iter().collect())
    }
}

fn scheme(scheme: &str) -> Refused {
    Refused::forever(format!(
        "has the scheme '{scheme}'. Allowed schemes are: https; and http where the server's operator names the host, or its range of \
         addresses, in the setting webhooks_allow."
    ))
}

/// A name with the dot of the root is the same host.
fn plain_name(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// What a client resolves names by, so that it connects to addresses that were looked at.
struct Resolver {
    allow: Arc<AllowList>,
    is_plain: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow, is_plain) = (Arc::clone(&self.allow), self.is_plain);
        Box::pin(async move {
            let found = allow.resolve(name.as_str(), is_plain).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(allow: &str) -> Outbound {
        Outbound::new(AllowList::parse(allow).unwrap())
    }

    #[track_caller]
    fn refused(out: &Outbound, text: &str, part: &str) {
        let refused = out.target(text).expect_err(text);
        assert!(refused.to_string().contains(part) && refused.is_final(), "{text}: {refused}");
    }

    #[test]
    fn what_cannot_be_a_target_is_refused_before_anything_is_resolved() {
        let none = out("");
        for text in
            ["https://hooks.example.com/a?b=c", "https://8.8.8.8:8443/", "https://[2606:4700::1111]/x"]
        {
            assert!(none.target(text).is_ok(), "{text}");
        }
        for text in [
            "http://hooks.example.com/",
            "ftp://a",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "gopher://a",
        ] {
            refused(&none, text, "Allowed schemes");
        }
        for text in [
            "https://user:pass@hooks.example.com/",
            "https://user@hooks.example.com/",
            "https://:p@hooks.example.com",
        ] {
            refused(&none, text, "user name or a password");
        }
        for text in [
            "",
            "hooks.example.com",
            "https://",
            "https:///x?y",
            "//a",
            "https://a b",
            "https://[::1",
            " https://a",
        ] {
            assert!(
                none.target(text).is_err() || none.target(text).unwrap().host_str() == Some("x"),
                "{text:?}"
            );
        }
        // Every spelling of an address is that address.
        for text in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://10.0.0.1/",
            "https://0/",
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://１２７.0.0.1/",
            "https://[2002:7f00:1::]/",
            "https://100.64.0.1",
            "https://[fd00:ec2::254]/",
            "https://192.168.0.1./",
        ] {
            refused(&none, text, "non-public");
        }
    }

    #[test]
    fn what_the_operator_names_is_allowed_and_nothing_beside_it() {
        let some = out("hooks.corp,10.1.0.0/16,169.254.1.0/24");
        for text in [
            "http://hooks.corp/",
            "https://hooks.corp/",
            "http://10.1.2.3/",
            "https://10.1.2.3/",
            "https://169.254.1.9/",
        ] {
            assert!(some.target(text).is_ok(), "{text}");
        }
        refused(&some, "http://10.2.0.1/", "Allowed schemes");
        refused(&some, "https://10.2.0.1/", "non-public");
        refused(&some, "https://169.254.169.254/", "its range");
        let check = |name: &str, ip: &str, is_plain| some.allow.check(name, ip.parse().unwrap(), is_plain);
        check("hooks.corp", "192.168.7.7", true).unwrap();
        check("hooks.corp.", "127.0.0.1", false).unwrap();
        assert!(
            check("hooks.corp", "169.254.169.254", false).is_err(),
            "a name alone does not reach metadata"
        );
        assert!(check("other.corp", "192.168.7.7", false).is_err());
        check("other.corp", "10.1.0.9", true).unwrap();
        assert!(check("other.corp", "8.8.8.8", true).is_err(), "plain");
        check("other.corp", "8.8.8.8", false).unwrap();
    }

    #[tokio::test]
    async fn a_name_is_judged_by_all_that_it_stands_for() {
        let refused = out("").admit("https://localhost:1/").await.unwrap_err();
        assert!(refused.is_final() && refused.to_string().contains("'localhost' resolves to "), "{refused}");
        out("localhost").admit("http://localhost:1/").await.unwrap();
        out("127.0.0.0/8,::1").admit("http://localhost:1/").await.unwrap();
        let unknown = out("").admit("https://no-such-host.invalid/").await.unwrap_err();
        assert!(!unknown.is_final() && unknown.to_string().contains("cannot be resolved"), "{unknown}");
    }

    /// The client by itself: a name that stands for something else by now than when it was looked at.
    #[tokio::test]
    async fn the_client_connects_to_what_it_has_looked_at() {
        let out = out("");
        let url = Url::parse("https://localhost:1/").unwrap();
        let error = out.client(&url).unwrap().get(url).send().await.unwrap_err();
        let (text, refused) = cause(error);
        assert!(refused.is_some_and(|refused| refused.is_final()), "{text}");
        assert!(!text.contains("localhost:1"), "{text}");
    }
}
