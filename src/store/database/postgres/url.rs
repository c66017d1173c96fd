//! Parses `DATABASE_URL` as libpq does: several hosts, and parameters that sqlx does not know.
//!
//! sqlx supports one host and logs the values of all parameters that it does not know, which may include passwords. The URL is
//! therefore split here, and sqlx gets one URL per host, which contains only parameters that it knows. Messages never contain a
//! value.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use sqlx::postgres::PgConnectOptions;
use tokio_rustls::rustls::RootCertStore;

/// The connection settings of a URL.
#[derive(Debug, Clone)]
pub struct Target {
    /// At least one, in the order in which they are tried.
    pub hosts: Vec<Host>,
    /// Whether read-only hosts are skipped.
    pub writable_only: bool,
    /// Limit for each attempt to connect to a host.
    pub connect_timeout: Option<Duration>,
    /// Whether statements may be prepared under a name; `statement-cache-capacity=0` disables this.
    pub named_statements: bool,
    /// Names of parameters without effect.
    pub ignored: Vec<String>,
    /// Whether the system's certificates are trusted in addition to those of the URL.
    pub system_certificates: bool,
}

#[derive(Debug, Clone)]
pub struct Host {
    /// For messages, such as `db1:5432`.
    pub name: String,
    pub options: PgConnectOptions,
}

/// Why a URL is invalid, without any part of the URL.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

/// Parameters that are passed on to sqlx. Those that this module handles are not among them.
const PASSED_ON: [&str; 13] = [
    "sslmode",
    "ssl-mode",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "sslrootcert",
];

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// The rule that the URL breaks.
    pub fn read(url: &str) -> Result<Self, UrlError> {
        let parts = Parts::split(url)?;
        let mut target = Self {
            hosts: Vec::new(),
            writable_only: false,
            connect_timeout: None,
            named_statements: true,
            ignored: Vec::new(),
            system_certificates: false,
        };
        let (mut hosts, mut ports) = parts.hosts()?;
        let mut attributes = None;
        let mut passed_on = parts.user_and_database()?;
        for (name, value) in form_urlencoded::parse(parts.query.as_bytes()) {
            match &*name {
                "host" => hosts = list(&value),
                "hostaddr" => {
                    hosts = list(&value);
                    if hosts.iter().any(|host| host.parse::<IpAddr>().is_err()) {
                        return Err(refused("hostaddr takes IP addresses"));
                    }
                }
                "port" => ports = list(&value),
                "target_session_attrs" => attributes = Some(value.into_owned()),
                "connect_timeout" => target.connect_timeout = read_timeout(&value)?,
                // libpq's default, and sqlx supports nothing else.
                "load_balance_hosts" if value == "disable" => {}
                "ssl-root-cert" | "ssl-ca" => passed_on.push(("sslrootcert".to_owned(), value.into_owned())),
                known if PASSED_ON.contains(&known) || known.starts_with("options[") => {
                    passed_on.push((name.into_owned(), value.into_owned()));
                }
                unknown => target.ignored.push(unknown.to_owned()),
            }
        }
        target.trust(&mut passed_on)?;
        let capacity = find(&passed_on, "statement-cache-capacity");
        target.named_statements = capacity.is_none_or(|capacity| capacity.parse() != Ok(0));
        target.hosts = read_hosts(&hosts, &ports, &passed_on)?;
        target.writable_only = requires_writable(attributes.as_deref(), target.hosts.len())?;
        Ok(target)
    }

    /// Applies libpq's `sslrootcert=system`, and decides which certificates are trusted if none are named.
    fn trust(&mut self, parameters: &mut Vec<(String, String)>) -> Result<(), UrlError> {
        let from_environment = || std::env::var("PGSSLROOTCERT").ok().filter(|path| !path.is_empty());
        let root = find(parameters, "sslrootcert").map(str::to_owned).or_else(from_environment);
        self.system_certificates = root.as_deref().is_none_or(|root| root == "system");
        if root.as_deref() == Some("system") {
            let mode = find(parameters, "sslmode").or(find(parameters, "ssl-mode"));
            if mode.is_some_and(|mode| mode != "verify-full") {
                return Err(refused("sslrootcert=system needs sslmode=verify-full"));
            }
            parameters.retain(|(name, _)| name != "sslrootcert");
            parameters.push(("sslmode".to_owned(), "verify-full".to_owned()));
        }
        Ok(())
    }

    /// Adds the system's certificates, which `SSL_CERT_FILE` and `SSL_CERT_DIR` can name, to those that sqlx trusts. Reads files.
    pub fn add_system_certificates(&mut self) {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!("some of the system's certificates cannot be read: {error}");
        }
        // sqlx refuses to connect if one certificate is unusable.
        let usable = |certificate: &_| RootCertStore::empty().add(Clone::clone(certificate)).is_ok();
        let pem: String = found.certs.iter().filter(|certificate| usable(*certificate)).map(|der| to_pem(der)).collect();
        if pem.is_empty() {
            return;
        }
        for host in &mut self.hosts {
            host.options = host.options.clone().ssl_root_cert_from_pem(pem.clone().into_bytes());
        }
    }
}

fn to_pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(der))
}

/// The components of a URL, still percent-encoded.
struct Parts<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn split(url: &'a str) -> Result<Self, UrlError> {
        let scheme = ["postgres://", "postgresql://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = scheme.ok_or_else(|| refused("must start with postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // A password may contain an @, a host cannot.
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let (user, password) = match user_info.map(|text| text.split_once(':').ok_or(text)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        Ok(Self { user, password, hosts, database, query })
    }

    /// Returns the hosts and the ports; an empty string stands for the default.
    fn hosts(&self) -> Result<(Vec<String>, Vec<String>), UrlError> {
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        if self.hosts.is_empty() {
            return Ok((hosts, ports));
        }
        for text in self.hosts.split(',') {
            let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
                Some((host, "")) => (host, ""),
                Some((host, port)) => {
                    (host, port.strip_prefix(':').ok_or_else(|| refused("there must be a colon between ] and the port"))?)
                }
                None => text.split_once(':').unwrap_or((text, "")),
            };
            if port.contains(':') {
                return Err(refused("an IPv6 address must be in brackets"));
            }
            hosts.push(decode(host)?);
            ports.push(port.to_owned());
        }
        Ok((hosts, ports))
    }

    fn user_and_database(&self) -> Result<Vec<(String, String)>, UrlError> {
        let parts = [("user", self.user), ("password", self.password), ("dbname", Some(self.database))];
        let present =
            parts.into_iter().filter_map(|(name, value)| value.filter(|text| !text.is_empty()).map(|text| (name, text)));
        present.map(|(name, text)| Ok((name.to_owned(), decode(text)?))).collect()
    }
}

fn read_hosts(hosts: &[String], ports: &[String], parameters: &[(String, String)]) -> Result<Vec<Host>, UrlError> {
    // If no host is named, there is one host, the default.
    let default = [String::new()];
    let hosts = if hosts.is_empty() { &default[..] } else { hosts };
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(refused("must have one port, or one for each host"));
    }
    let hosts = hosts.iter().enumerate().map(|(number, host)| {
        let port = ports.get(number).or_else(|| ports.first().filter(|_| ports.len() == 1)).map_or("", String::as_str);
        read_host(host, port, parameters)
    });
    hosts.collect()
}

fn read_host(host: &str, port: &str, parameters: &[(String, String)]) -> Result<Host, UrlError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    if !host.is_empty() {
        query.append_pair("host", host);
    }
    if !port.is_empty() {
        let number = port.parse::<u16>().ok().filter(|port| *port > 0);
        number.ok_or_else(|| refused("a port must be a number from 1 to 65535"))?;
        query.append_pair("port", port);
    }
    // sqlx's error may quote the value.
    let options = PgConnectOptions::from_str(&format!("postgres:///?{}", query.finish()));
    let options = options.map_err(|_| refused("one of its parameters has an unknown value"))?;
    // Poolers reject the parameter that sqlx sends by default, and no column is a floating-point number.
    let mut options = options.extra_float_digits(None);
    if options.get_application_name().is_none() {
        options = options.application_name("image-service");
    }
    let place = options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    let name = match place.contains(':') {
        true => format!("[{place}]:{}", options.get_port()),
        false => format!("{place}:{}", options.get_port()),
    };
    Ok(Host { name, options })
}

/// With several hosts, libpq would accept any of them by default. The service must write, and one of several hosts is often a
/// standby.
fn requires_writable(attributes: Option<&str>, hosts: usize) -> Result<bool, UrlError> {
    match attributes {
        None => Ok(hosts > 1),
        Some("any") => Ok(false),
        Some("read-write" | "primary") => Ok(true),
        Some(_) => Err(refused("target_session_attrs must be any, read-write or primary, because the service writes")),
    }
}

/// Parses a number of whole seconds; as in libpq, 0 and less mean no limit.
fn read_timeout(value: &str) -> Result<Option<Duration>, UrlError> {
    let seconds: i64 = value.trim().parse().map_err(|_| refused("connect_timeout must be a number of seconds"))?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(|item| item.trim().to_owned()).collect()
}

/// Returns the last value, as libpq does.
fn find<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn decode(text: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| refused("its percent-encoded parts must be UTF-8"))?.into_owned())
}

fn refused(reason: &str) -> UrlError {
    UrlError(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(url: &str) -> Vec<String> {
        Target::read(url).unwrap_or_else(|error| panic!("{url}: {error}")).hosts.into_iter().map(|host| host.name).collect()
    }

    #[test]
    fn hosts_are_parsed_like_libpq() {
        for (url, hosts) in [
            ("postgres://u:p@db/images", &["db:5432"][..]),
            ("postgresql://u:p@db:6000/images?sslmode=require", &["db:6000"]),
            ("postgres://u:p@h1:1,h2:2/images", &["h1:1", "h2:2"]),
            ("postgres://u:p@h1,h2:2/images", &["h1:5432", "h2:2"]),
            ("postgres://u:p@[2001:db8::1]:1,[::1]/images", &["[2001:db8::1]:1", "[::1]:5432"]),
            ("postgres:///images?host=h1,h2&port=1,2", &["h1:1", "h2:2"]),
            ("postgres://u@/images?host=h1,h2&port=7", &["h1:7", "h2:7"]),
            ("postgres://u@h0/images?hostaddr=127.0.0.1,::1", &["127.0.0.1:5432", "[::1]:5432"]),
            ("postgres:///images?host=/run/a,/run/b", &["/run/a:5432", "/run/b:5432"]),
            ("postgres://u@%2Frun%2Fa/images", &["/run/a:5432"]),
        ] {
            assert_eq!(names(url), hosts, "{url}");
        }
    }

    #[test]
    fn each_host_has_the_urls_user_password_and_database() {
        let target = Target::read("postgres://an%40na:p%2Fw@w@h1,h2/my%20images?application_name=a&x=1&sslpassword=secret");
        let target = target.unwrap();
        assert_eq!(target.ignored, ["x", "sslpassword"]);
        for host in &target.hosts {
            let options = &host.options;
            assert_eq!((options.get_username(), options.get_database()), ("an@na", Some("my images")));
            assert_eq!(options.get_application_name(), Some("a"));
            assert!(sqlx::ConnectOptions::to_url_lossy(options).password() == Some("p%2Fw%40w"), "{options:?}");
        }
    }

    #[test]
    fn with_several_hosts_a_writable_one_is_required() {
        for (url, writable_only) in [
            ("postgres://h1/images", false),
            ("postgres://h1,h2/images", true),
            ("postgres://h1,h2/images?target_session_attrs=any", false),
            ("postgres://h1/images?target_session_attrs=read-write", true),
            ("postgres://h1/images?target_session_attrs=primary", true),
        ] {
            assert_eq!(Target::read(url).unwrap().writable_only, writable_only, "{url}");
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_without_quoting_it() {
        for (url, reason) in [
            ("mysql://h/images", "postgres://"),
            ("postgres://u:secret@h:port/images", "port"),
            ("postgres://u:secret@h1:1,h2:70000/images", "port"),
            ("postgres://u:secret@2001:db8::1/images", "brackets"),
            ("postgres://u:secret@h1,h2,h3/images?port=1,2", "one port"),
            ("postgres://u:secret@h1/images?hostaddr=h1", "hostaddr"),
            ("postgres://u:secret@h1/images?sslmode=secret", "unknown value"),
            ("postgres://u:secret@h1/images?sslmode=require&sslrootcert=system", "verify-full"),
            ("postgres://u:secret@h1/images?target_session_attrs=standby", "target_session_attrs"),
            ("postgres://u:secret@h1/images?connect_timeout=secret", "connect_timeout"),
        ] {
            let error = Target::read(url).expect_err(url).to_string();
            assert!(error.contains(reason) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn certificates_of_the_system_are_trusted_unless_others_are_named() {
        let read = |query: &str| Target::read(&format!("postgres://h/images?{query}")).unwrap();
        assert!(read("sslmode=verify-full").system_certificates && !read("sslrootcert=/ca.pem").system_certificates);
        let system = read("sslrootcert=system");
        assert!(system.system_certificates);
        assert!(matches!(system.hosts[0].options.get_ssl_mode(), sqlx::postgres::PgSslMode::VerifyFull));
    }

    #[test]
    fn statements_are_unnamed_without_a_cache() {
        let named = |query: &str| Target::read(&format!("postgres://h/images?{query}")).unwrap().named_statements;
        assert!(named("") && named("statement-cache-capacity=5") && !named("statement-cache-capacity=0"));
    }
}
