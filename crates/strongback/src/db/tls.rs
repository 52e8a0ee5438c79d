//! Encrypted connections to PostgreSQL, by the parameters of a URL that its own programs know.
//!
//! | `sslmode` | encrypted | who answers |
//! |---|---|---|
//! | `disable` | no | |
//! | `prefer` (nothing said) | where both can | is believed, unless `sslrootcert` is given: then as `verify-ca`, and always encrypted |
//! | `require` | yes | is believed, unless `sslrootcert` is given: then as `verify-ca` |
//! | `verify-ca` | yes | has a certificate of an authority in `sslrootcert` |
//! | `verify-full` | yes | has one that names the host of the URL |
//!
//! `sslrootcert` is a file of certificates, or, for `verify-full`, `system`: those of the machine. An authority in the file vouches for what
//! it signed. Every certificate in it is known by itself as well, which is how a server with one that it signed itself is named; one that is no
//! authority vouches for nothing else. `sslcert` and `sslkey` prove who asks. Source: PostgreSQL's documentation, 34.19 "SSL Support".
//!
//! What must stay true: a mode that proves something is never weakened, by no other parameter either; and a socket of the machine itself
//! needs none.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use percent_encoding::percent_decode_str;
use postgres::{
    Config,
    config::{Host, SslMode, SslNegotiation},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
        verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::{
    Certificate, Version,
    der::{Decode, Encode},
    ext::pkix::BasicConstraints,
};

/// The protocol's name in a handshake, which a server asks for that speaks TLS from the first byte.
const ALPN: &[u8] = b"postgresql";

/// What is proved of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    Authority,
    AuthorityAndName,
}

/// Who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Nobody,
    /// The authorities of the machine.
    System,
    File(PathBuf),
}

/// What a URL asks of its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    mode: SslMode,
    proof: Proof,
    known: Known,
    /// The files of a certificate and of its key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Takes these parameters out of a URL; answers the rest of it as well. The error never repeats the URL.
    pub fn take(url: &str) -> Result<(String, Self), String> {
        let mut said = Said::default();
        // Where the library that reads the rest sees the parameters: behind the first '@', if there is one.
        let after_password = url.find('@').map_or(0, |at| at + 1);
        if url[..after_password].contains('?') {
            return Err("it has a '?' before an '@', so that nobody can say what is a parameter. Write the one in a name, a password or a \
                        parameter as %3F, and the other as %40."
                .into());
        }
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

    /// Says to the library when it is to encrypt. A socket of this machine is not encrypted, whatever is said.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        let addresses = config.get_hostaddrs().to_vec();
        let sockets = config.get_hosts().iter().filter(|host| !matches!(host, Host::Tcp(_))).count();
        let is_mixed = sockets > 0 && (sockets < config.get_hosts().len() || !addresses.is_empty());
        if is_mixed {
            return Err("it names a socket (host=/…) beside another host or an address (hostaddr). Name one or the other.".into());
        }
        if config.get_ssl_negotiation() == SslNegotiation::Direct
            && self.mode != SslMode::Require
            && sockets == 0
        {
            return Err("sslnegotiation=direct goes with encryption alone. Name sslmode=require, verify-ca or verify-full as well.".into());
        }
        // The library asks for the name of whom it is to meet, if only to compare it.
        if config.get_hosts().is_empty() {
            for address in addresses {
                config.host(&address.to_string());
            }
        }
        config.ssl_mode(if sockets > 0 { SslMode::Disable } else { self.mode });
        Ok(())
    }

    /// Whether a connection without encryption is as good as one with it.
    pub fn is_optional(&self) -> bool {
        self.mode == SslMode::Prefer
    }

    /// What makes the encrypted connections. The files are read anew each time: certificates are renewed.
    pub fn connector(&self) -> Result<MakeRustlsConnect, String> {
        self.client().map(MakeRustlsConnect::new)
    }

    fn client(&self) -> Result<ClientConfig, String> {
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
                let private = private_key(key)?;
                config.with_client_auth_cert(chain, private).map_err(|error| {
                    format!(
                        "The certificate {} (sslcert) and its key (sslkey) do not fit: {error}.",
                        certificate.display()
                    )
                })?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
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
        // As the library reads it, which decodes names as well.
        let name = percent_decode_str(name).decode_utf8_lossy();
        let place = match name.as_ref() {
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
        let known = match self.root {
            None => Known::Nobody,
            Some(root) if root == "system" => Known::System,
            Some(file) => Known::File(file.into()),
        };
        let (mode, proof) = match (self.mode.as_deref(), &known) {
            (Some("verify-ca" | "verify-full"), Known::Nobody) => {
                return Err(format!(
                    "sslmode={} needs to know whom to believe: add sslrootcert=FILE, with the certificate of the authority, or \
                     sslrootcert=system with verify-full.",
                    self.mode.unwrap_or_default()
                ));
            }
            (None, Known::System) | (Some("verify-full"), _) => (SslMode::Require, Proof::AuthorityAndName),
            // Anybody has a certificate of one of these.
            (Some(weak), Known::System) => {
                return Err(format!(
                    "sslrootcert=system says nothing with sslmode={weak}. Use sslmode=verify-full."
                ));
            }
            (Some("verify-ca"), _) | (None | Some("prefer" | "require"), Known::File(_)) => {
                (SslMode::Require, Proof::Authority)
            }
            (Some("require"), _) => (SslMode::Require, Proof::Nothing),
            (None | Some("prefer"), _) => (SslMode::Prefer, Proof::Nothing),
            (Some("disable"), _) => (SslMode::Disable, Proof::Nothing),
            (Some(other), _) => {
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
        Ok(Tls { mode, proof, known, identity })
    }
}

/// Judges the certificate of a server.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    proof: Proof,
    /// Judges by authority and name; not there where no authority is known.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that are known by themselves.
    known: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let (found, known) = match (tls.proof, &tls.known) {
            (Proof::Nothing, _) | (_, Known::Nobody) => (Vec::new(), Vec::new()),
            (_, Known::System) => (rustls_native_certs::load_native_certs().certs, Vec::new()),
            (_, Known::File(file)) => {
                let known = certificates("sslrootcert", file)?;
                let now = SystemTime::now();
                let vouches = |one: &&CertificateDer<'_>| {
                    Facts::of(one).is_some_and(|facts| facts.is_authority && facts.holds_at(now))
                };
                (known.iter().filter(vouches).cloned().collect(), known)
            }
        };
        if tls.proof != Proof::Nothing && found.is_empty() && known.is_empty() {
            return Err(
                "This machine has no list of authorities. Name a file of them with sslrootcert.".to_owned()
            );
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found);
        let authorities = match roots.is_empty() {
            true => None,
            false => {
                let judge =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                        .build();
                Some(judge.map_err(|error| error.to_string())?)
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { algorithms, proof: tls.proof, authorities, known })
    }

    /// What is said of a certificate that the file itself holds.
    fn judge_known(
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        if !Facts::of(certificate).is_some_and(|facts| facts.holds_at(at)) {
            return Err(TlsError::InvalidCertificate(CertificateError::Expired));
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
    }
}

/// What a certificate says of itself, as far as the library that judges others by it does not look.
struct Facts {
    is_authority: bool,
    from: SystemTime,
    until: SystemTime,
}

impl Facts {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?.tbs_certificate;
        let constraints = certificate.get::<BasicConstraints>().ok()?;
        // Before version 3 there was no way to say so.
        let is_authority = match constraints {
            Some((_, constraints)) => constraints.ca,
            None => certificate.version == Version::V1 && certificate.issuer == certificate.subject,
        };
        let (from, until) = (certificate.validity.not_before, certificate.validity.not_after);
        Some(Self { is_authority, from: from.to_system_time(), until: until.to_system_time() })
    }

    fn holds_at(&self, at: SystemTime) -> bool {
        (self.from..=self.until).contains(&at)
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
        if self.proof == Proof::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let judged = match &self.authorities {
            _ if self.known.contains(certificate) => {
                Self::judge_known(certificate, name, now).map(|()| ServerCertVerified::assertion())
            }
            Some(authorities) => authorities.verify_server_cert(certificate, others, name, ocsp, now),
            None => Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)),
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
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    /// By the key alone, since the certificate is judged above: those of version 1 have keys like others. That the key is there counts
    /// where nothing is to be proved as well: what ties a password to the connection (`channel_binding`) rests on it.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let key = Certificate::from_der(certificate)
            .and_then(|certificate| certificate.tbs_certificate.subject_public_key_info.to_der())
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        verify_tls13_signature_with_raw_key(message, &key.into(), signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
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

/// A key, which nobody else may read: its owner alone, or root's group as well where it is root's.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata().map_err(|error| unread("sslkey", file, &error))?;
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & others != 0 {
        return Err(format!("sslkey: others may read {}. Take that away: chmod 600.", file.display()));
    }
    PrivateKeyDer::from_pem_file(file).map_err(|error| unread("sslkey", file, &error))
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
            return Some(in_words(tls));
        }
        cause = next.source();
    }
    let text = error.to_string();
    text.contains("TLS").then(|| std::error::Error::source(error).map_or(text, ToString::to_string))
}

fn in_words(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is of an authority that sslrootcert does not hold (UnknownIssuer)".to_owned()
        }
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired, or does not hold yet".to_owned()
        }
        other => match other.to_string() {
            text if text.contains("UnsupportedCertVersion") => {
                "its certificate is of X.509 version 1, of which nothing can be proved. Make one of version 3, with the host as \
                 subjectAltName"
                    .to_owned()
            }
            text => text,
        },
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey, pkcs8::EncodePrivateKey};
    use rustls::{
        ClientConnection, ServerConfig, ServerConnection,
        sign::{CertifiedKey, SingleCertAndKey},
    };
    use x509_cert::{
        TbsCertificate,
        der::asn1::BitString,
        serial_number::SerialNumber,
        spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned},
        time::{Time, Validity},
    };

    use super::*;

    /// RFC 8410.
    const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

    fn taken(url: &str) -> (String, Tls) {
        Tls::take(url).unwrap()
    }

    #[test]
    fn each_mode_proves_what_it_says() {
        for (query, mode, proof) in [
            ("", SslMode::Prefer, Proof::Nothing),
            ("?sslmode=disable", SslMode::Disable, Proof::Nothing),
            ("?sslmode=prefer", SslMode::Prefer, Proof::Nothing),
            ("?sslmode=prefer&sslrootcert=/a.pem", SslMode::Require, Proof::Authority),
            ("?sslrootcert=/a.pem", SslMode::Require, Proof::Authority),
            ("?ssl%6Dode=require", SslMode::Require, Proof::Nothing),
            ("?sslmode=require", SslMode::Require, Proof::Nothing),
            ("?sslmode=require&sslrootcert=/a.pem", SslMode::Require, Proof::Authority),
            ("?sslmode=verify-ca&sslrootcert=/a.pem", SslMode::Require, Proof::Authority),
            ("?sslmode=verify-full&sslrootcert=/a.pem", SslMode::Require, Proof::AuthorityAndName),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Proof::AuthorityAndName),
            ("?sslrootcert=system", SslMode::Require, Proof::AuthorityAndName),
        ] {
            let (rest, tls) = taken(&format!("postgres://me:x@db/y{query}"));
            assert_eq!((tls.mode, tls.proof), (mode, proof), "{query}");
            assert_eq!(rest, "postgres://me:x@db/y");
        }
    }

    #[test]
    fn other_parameters_stay() {
        let url = "postgresql://me:a%3Fb@db/y?application_name=a%26b&sslmode=verify%2Dfull&sslrootcert=/a.pem&connect_timeout=3";
        let (rest, tls) = taken(url);
        assert_eq!(rest, "postgresql://me:a%3Fb@db/y?application_name=a%26b&connect_timeout=3");
        assert_eq!(tls.proof, Proof::AuthorityAndName);
        let (_, tls) = taken("postgres://db/y?sslrootcert=/some%20where/ca.pem&sslcert=/c.pem&sslkey=/k.pem");
        assert_eq!(tls.known, Known::File("/some where/ca.pem".into()));
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
            ("sslmode=verify-ca", "sslrootcert=FILE"),
            ("sslmode=verify-full", "sslrootcert=FILE"),
        ] {
            let error = Tls::take(&format!("postgres://me:hush@db/y?{query}")).unwrap_err();
            assert!(error.contains(why) && !error.contains("hush"), "{query}: {error}");
        }
    }

    #[test]
    fn what_may_be_a_parameter_or_a_password_is_refused() {
        for url in
            ["postgres://db/x?sslmode=require&password=p@ss", "postgres://me:hush?sslmode=disable@db/x"]
        {
            let error = Tls::take(url).unwrap_err();
            assert!(error.contains("%40") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_socket_of_the_machine_is_not_encrypted_and_nothing_else_is_taken_for_one() {
        let applied = |url: &str| {
            let (rest, tls) = taken(url);
            let mut config: Config = rest.parse().unwrap();
            tls.apply(&mut config).map(|()| config)
        };
        let proved = "sslmode=verify-full&sslrootcert=/a.pem";
        let local = applied(&format!("postgresql:///x?host=/run/postgresql&{proved}")).unwrap();
        assert_eq!(local.get_ssl_mode(), SslMode::Disable);
        assert_eq!(applied(&format!("postgresql://db/x?{proved}")).unwrap().get_ssl_mode(), SslMode::Require);
        for mixed in ["host=/run/postgresql&hostaddr=127.0.0.1", "host=/run/postgresql&host=db"] {
            assert!(
                applied(&format!("postgresql:///x?{mixed}&{proved}"))
                    .is_err_and(|why| why.contains("one or the other"))
            );
        }
        let by_address = applied(&format!("postgresql:///x?hostaddr=10.0.0.1&{proved}")).unwrap();
        assert_eq!(by_address.get_hosts(), [Host::Tcp("10.0.0.1".into())]);
        assert_eq!(by_address.get_ssl_mode(), SslMode::Require);
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
    /// A certificate for an Ed25519 key, of version 3 or, with 1, as old tools make them.
    fn certificate(key: &SigningKey, version: Version) -> CertificateDer<'static> {
        let algorithm = AlgorithmIdentifierOwned { oid: ED25519, parameters: None };
        let days = |days: u64| Time::try_from(SystemTime::now() + Duration::from_hours(24 * days)).unwrap();
        let tbs = TbsCertificate {
            version,
            serial_number: SerialNumber::new(&[1]).unwrap(),
            signature: algorithm.clone(),
            issuer: "CN=server".parse().unwrap(),
            validity: Validity { not_before: days(0), not_after: days(2) },
            subject: "CN=server".parse().unwrap(),
            subject_public_key_info: SubjectPublicKeyInfoOwned {
                algorithm: algorithm.clone(),
                subject_public_key: BitString::from_bytes(key.verifying_key().as_bytes()).unwrap(),
            },
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: None,
        };
        let signature = key.sign(&tbs.to_der().unwrap()).to_bytes();
        let signature = BitString::from_bytes(&signature).unwrap();
        let made = Certificate { tbs_certificate: tbs, signature_algorithm: algorithm, signature };
        made.to_der().unwrap().into()
    }

    /// Whether a handshake ends well with a server that shows this certificate and has this key.
    fn meets(certificate: &CertificateDer<'static>, key: &SigningKey) -> Result<(), TlsError> {
        let (_, tls) = taken("postgres://db/y?sslmode=require");
        let name = ServerName::try_from("db").unwrap();
        let mut client = ClientConnection::new(Arc::new(tls.client().unwrap()), name).unwrap();
        let private = PrivateKeyDer::Pkcs8(key.to_pkcs8_der().unwrap().as_bytes().to_vec().into());
        let signer = aws_lc_rs::sign::any_supported_type(&private).unwrap();
        let shown = CertifiedKey::new(vec![certificate.clone()], signer);
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() {
            let mut sent = Vec::new();
            client.write_tls(&mut sent).unwrap();
            server.read_tls(&mut sent.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut sent = Vec::new();
            server.write_tls(&mut sent).unwrap();
            client.read_tls(&mut sent.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn whoever_shows_a_certificate_has_its_key_even_where_nothing_is_proved() {
        let [own, other] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        for version in [Version::V1, Version::V3] {
            let shown = certificate(&own, version);
            meets(&shown, &own).unwrap();
            let error = meets(&shown, &other).unwrap_err();
            assert_eq!(error, TlsError::InvalidCertificate(CertificateError::BadSignature), "{version:?}");
        }
    }
}
