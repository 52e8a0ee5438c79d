//! Encrypted connections to PostgreSQL, by the parameters of a URL that its own programs know.
//!
//! | `sslmode` | encrypted | who answers |
//! |---|---|---|
//! | `disable` | no | |
//! | `prefer` (nothing said) | where the server can | is believed |
//! | `require` | yes | is believed, unless `sslrootcert` names authorities: then as `verify-ca` |
//! | `verify-ca` | yes | has a certificate of a known authority |
//! | `verify-full` | yes | has one that names the host of the URL |
//!
//! `sslrootcert` is a file of authorities, or `system` for those of the machine, which are also the ones where nothing is said.
//! A certificate in that file is known by itself as well, which is how a server with one that it signed itself is named.
//! `sslcert` and `sslkey` prove who asks. Source: PostgreSQL's documentation, 34.19 "SSL Support".
//!
//! What must stay true: a mode that proves something is never weakened, and a socket of the machine itself needs none.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use postgres::{
    Config,
    config::{Host, SslMode},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The protocol's name in a handshake, which a server asks for that speaks TLS from the first byte.
const ALPN: &[u8] = b"postgresql";

/// What is proved of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    Authority,
    AuthorityAndName,
}

/// Who is known to sign servers' certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Authorities {
    System,
    File(PathBuf),
}

/// What a URL asks of its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    mode: SslMode,
    proof: Proof,
    authorities: Authorities,
    /// The files of a certificate and of its key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Takes these parameters out of a URL; answers the rest of it as well. The error never repeats the URL.
    pub fn take(url: &str) -> Result<(String, Self), String> {
        let mut said = Said::default();
        // Where the library that reads the rest sees the parameters: behind what may be a password.
        let after_password = url.find('@').map_or(0, |at| at + 1);
        let Some(at) = url[after_password..].find('?').map(|at| after_password + at) else {
            return Ok((url.to_owned(), said.settle()?));
        };
        let (before, query) = (&url[..at], &url[at + 1..]);
        let mut rest = Vec::new();
        for pair in query.split('&') {
            if !said.hear(pair)? {
                rest.push(pair);
            }
        }
        let rest = if rest.is_empty() { before.to_owned() } else { format!("{before}?{}", rest.join("&")) };
        Ok((rest, said.settle()?))
    }

    /// Says to the library when it is to encrypt.
    pub fn apply(&self, config: &mut Config) {
        let is_local = |host: &Host| !matches!(host, Host::Tcp(_));
        let local = !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_local);
        config.ssl_mode(if local { SslMode::Disable } else { self.mode });
    }

    /// What makes the encrypted connections. The files are read anew each time: certificates are renewed.
    pub fn connector(&self) -> Result<MakeRustlsConnect, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier::new(self, &provider)?);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("sslcert", certificate)?;
                let private =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| unread("sslkey", key, &error))?;
                config.with_client_auth_cert(chain, private).map_err(|error| {
                    format!(
                        "The certificate {} (sslcert) and its key (sslkey) do not fit: {error}.",
                        certificate.display()
                    )
                })?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(MakeRustlsConnect::new(config))
    }
}

/// The parameters as they stand in the URL.
#[derive(Default)]
struct Said {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Said {
    /// Whether a parameter is one of these.
    fn hear(&mut self, pair: &str) -> Result<bool, String> {
        let Some((name, value)) = pair.split_once('=') else { return Ok(false) };
        let place = match name {
            "sslmode" => &mut self.mode,
            "sslrootcert" => &mut self.root,
            "sslcert" => &mut self.certificate,
            "sslkey" => &mut self.key,
            _ => return Ok(false),
        };
        let value =
            percent_decode_str(value).decode_utf8().map_err(|_| format!("{name} is not valid UTF-8."))?;
        if value.is_empty() {
            return Err(format!("{name} is empty. Leave it out, or give it a value."));
        }
        if place.replace(value.into_owned()).is_some() {
            return Err(format!("{name} is given twice. Leave one out."));
        }
        Ok(true)
    }

    fn settle(self) -> Result<Tls, String> {
        let is_system = self.root.as_deref() == Some("system");
        let authorities = match self.root {
            Some(file) if !is_system => Authorities::File(file.into()),
            _ => Authorities::System,
        };
        let unless_named = match &authorities {
            Authorities::System => Proof::Nothing,
            Authorities::File(_) => Proof::Authority,
        };
        let (mode, proof) = match self.mode.as_deref() {
            None if is_system => (SslMode::Require, Proof::AuthorityAndName),
            Some("verify-full") => (SslMode::Require, Proof::AuthorityAndName),
            // Anybody has a certificate of one of these.
            Some(weak) if is_system => {
                return Err(format!(
                    "sslrootcert=system says nothing with sslmode={weak}. Use sslmode=verify-full."
                ));
            }
            Some("verify-ca") => (SslMode::Require, Proof::Authority),
            Some("require") => (SslMode::Require, unless_named),
            None | Some("prefer") => (SslMode::Prefer, unless_named),
            Some("disable") => (SslMode::Disable, Proof::Nothing),
            Some(other) => {
                return Err(format!(
                    "sslmode={other:?} is none of disable, prefer, require, verify-ca, verify-full."
                ));
            }
        };
        let identity = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err("sslcert and sslkey go together, and one is missing.".into()),
        };
        Ok(Tls { mode, proof, authorities, identity })
    }
}

/// Judges the certificate of a server.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    proof: Proof,
    /// Judges by authority and name; not there where nothing is to be proved.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that the file names themselves.
    known: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let provider = Arc::clone(provider);
        if tls.proof == Proof::Nothing {
            return Ok(Self { provider, proof: tls.proof, authorities: None, known: Vec::new() });
        }
        let (found, known) = match &tls.authorities {
            Authorities::System => (rustls_native_certs::load_native_certs().certs, Vec::new()),
            Authorities::File(file) => {
                let found = certificates("sslrootcert", file)?;
                (found.clone(), found)
            }
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found);
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let authorities = authorities.build().map_err(|_| {
            "This machine has no list of authorities. Name a file of them with sslrootcert.".to_owned()
        })?;
        Ok(Self { provider, proof: tls.proof, authorities: Some(authorities), known })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        let judged = if self.known.iter().any(|known| known == certificate) {
            let parsed = ParsedCertificate::try_from(certificate)?;
            verify_server_name(&parsed, name).map(|()| ServerCertVerified::assertion())
        } else {
            authorities.verify_server_cert(certificate, others, name, ocsp, now)
        };
        // The name is looked at last: whoever fails by it alone has passed the rest.
        match judged {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.proof == Proof::Authority => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(parameter: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unread(parameter, file, &error))?;
    if found.is_empty() {
        return Err(format!("{parameter}: {} has no certificate in it (PEM).", file.display()));
    }
    Ok(found)
}

fn unread(parameter: &str, file: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{parameter}: {} cannot be read: {why}.", file.display())
}

/// What was wrong with an encrypted connection, if that is why there is none.
pub(super) fn why_refused(error: &postgres::Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        // What an error of the file system holds is not among its sources.
        let within = next.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = within.and_then(|within| within.downcast_ref::<TlsError>()) {
            return Some(tls.to_string());
        }
        cause = next.source();
    }
    let text = error.to_string();
    text.contains("TLS").then(|| std::error::Error::source(error).map_or(text, ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(url: &str) -> (String, Tls) {
        Tls::take(url).unwrap()
    }

    #[test]
    fn each_mode_proves_what_it_says() {
        for (query, mode, proof) in [
            ("", SslMode::Prefer, Proof::Nothing),
            ("?sslmode=disable", SslMode::Disable, Proof::Nothing),
            ("?sslmode=prefer", SslMode::Prefer, Proof::Nothing),
            ("?sslmode=prefer&sslrootcert=/a.pem", SslMode::Prefer, Proof::Authority),
            ("?sslmode=require", SslMode::Require, Proof::Nothing),
            ("?sslmode=require&sslrootcert=/a.pem", SslMode::Require, Proof::Authority),
            ("?sslmode=verify-ca", SslMode::Require, Proof::Authority),
            ("?sslmode=verify-full", SslMode::Require, Proof::AuthorityAndName),
            ("?sslrootcert=system", SslMode::Require, Proof::AuthorityAndName),
        ] {
            let (rest, tls) = taken(&format!("postgres://me:x@db/y{query}"));
            assert_eq!((tls.mode, tls.proof), (mode, proof), "{query}");
            assert_eq!(rest, "postgres://me:x@db/y");
        }
    }

    #[test]
    fn other_parameters_stay_and_a_password_is_not_read_as_one() {
        let url = "postgresql://me:a?sslmode=none&b@db/y?application_name=a%26b&sslmode=verify%2Dfull&connect_timeout=3";
        let (rest, tls) = taken(url);
        assert_eq!(rest, "postgresql://me:a?sslmode=none&b@db/y?application_name=a%26b&connect_timeout=3");
        assert_eq!(tls.proof, Proof::AuthorityAndName);
        let (_, tls) = taken("postgres://db/y?sslrootcert=/some%20where/ca.pem&sslcert=/c.pem&sslkey=/k.pem");
        assert_eq!(tls.authorities, Authorities::File("/some where/ca.pem".into()));
        assert_eq!(tls.identity, Some(("/c.pem".into(), "/k.pem".into())));
    }

    #[test]
    fn what_contradicts_itself_is_refused_without_the_url() {
        for (query, why) in [
            ("sslmode=allow", "none of"),
            ("sslmode=", "is empty"),
            ("sslmode=require&sslmode=disable", "twice"),
            ("sslmode=require&sslrootcert=system", "verify-full"),
            ("sslcert=/c.pem", "go together"),
            ("sslkey=%FF", "UTF-8"),
        ] {
            let error = Tls::take(&format!("postgres://me:hush@db/y?{query}")).unwrap_err();
            assert!(error.contains(why) && !error.contains("hush"), "{query}: {error}");
        }
    }

    #[test]
    fn a_socket_of_the_machine_is_not_encrypted() {
        for (url, mode) in [
            ("postgresql:///x?host=/run/postgresql&sslmode=verify-full", SslMode::Disable),
            ("postgresql://db/x?sslmode=verify-full", SslMode::Require),
            ("postgresql:///x?host=/run/postgresql&host=db&sslmode=require", SslMode::Require),
        ] {
            let (rest, tls) = taken(url);
            let mut config: Config = rest.parse().unwrap();
            tls.apply(&mut config);
            assert_eq!(config.get_ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        for (file, why) in [(dir.path().join("none.pem"), "cannot be read"), (empty, "no certificate")] {
            let (_, tls) =
                taken(&format!("postgres://db/y?sslmode=verify-full&sslrootcert={}", file.display()));
            let error = tls.connector().err().unwrap();
            assert!(error.contains(why) && error.contains("sslrootcert"), "{error}");
        }
    }
}
