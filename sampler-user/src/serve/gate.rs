//! Who may ask: a browser that was given this address, and beyond this machine only who has the token.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use hyper::Request;
use hyper::header::{AUTHORIZATION, COOKIE, HOST};

/// Random bytes of a token.
const BYTES: usize = 16;

/// Who may ask.
pub struct Gate {
    address: SocketAddr,
    /// The name of this machine.
    name: String,
    token: Option<String>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is for another host: a page of somebody else may have resolved its own name to this address.
    Host,
    /// It has no token, or a wrong one.
    Token,
}

impl Gate {
    /// At an address; beyond this machine with a new token.
    pub fn new(address: SocketAddr) -> anyhow::Result<Gate> {
        let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let token = (!address.ip().is_loopback()).then(token).transpose()?;
        Ok(Gate { address, name, token })
    }

    /// Whether a token is needed.
    pub fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// The address for a person.
    pub fn link(&self) -> String {
        let address = match self.address.ip() {
            ip if ip.is_unspecified() => format!("{}:{}", self.name, self.address.port()),
            _ => self.address.to_string(),
        };
        match &self.token {
            Some(token) => format!("http://{address}/?token={token}"),
            None => format!("http://{address}/"),
        }
    }

    /// The cookie of a browser that came with the right token.
    pub fn cookie(&self, given: &str) -> Option<String> {
        let token = self.token.as_ref().filter(|token| is_same(token, given))?;
        Some(format!("{}={token}; HttpOnly; SameSite=Strict; Path=/", self.cookie_name()))
    }

    /// Of this port: cookies know none.
    fn cookie_name(&self) -> String {
        format!("sampler-{}", self.address.port())
    }

    /// Whether a request may be for this server.
    pub fn check_host<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (Some(host), None, None) = (hosts.next(), hosts.next(), request.uri().authority()) else {
            return Err(Refusal::Host);
        };
        let host = host.to_str().map_err(|_| Refusal::Host)?.to_ascii_lowercase();
        // A name may be made to lead here by whoever owns it, an address may not.
        let name = without_port(&host);
        let is_address = name.parse::<IpAddr>().is_ok()
            || name.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')?.parse::<Ipv6Addr>().ok()).is_some();
        let is_own = !self.name.is_empty() && name == self.name && self.token.is_some();
        if is_address || name == "localhost" || is_own { Ok(()) } else { Err(Refusal::Host) }
    }

    /// Whether a request has the token, if one is needed.
    pub fn check_token<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let bearer =
            request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let (name, cookies) = (self.cookie_name(), request.headers().get_all(COOKIE).iter());
        let pairs = cookies.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split("; "));
        let cookie =
            pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value);
        let is_given = bearer.into_iter().chain(cookie).any(|given| is_same(token, given));
        if is_given { Ok(()) } else { Err(Refusal::Token) }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn token() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// In the same time whatever is wrong with what is given.
fn is_same(token: &str, given: &str) -> bool {
    let differs = token.bytes().zip(given.bytes()).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    token.len() == given.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(address: &str) -> Gate {
        Gate { name: "box".into(), ..Gate::new(address.parse().unwrap()).unwrap() }
    }

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let start = Request::builder().uri("/");
        headers.iter().fold(start, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn a_name_that_somebody_else_may_own_is_refused() {
        let here = gate("127.0.0.1:9465");
        for host in ["127.0.0.1:9465", "localhost:9465", "localhost", "[::1]:1", "LOCALHOST:2", "192.168.1.5:80"] {
            assert_eq!(here.check_host(&request(&[("host", host)])), Ok(()), "{host}");
        }
        let foreign =
            ["evil.example", "evil.example:9465", "localhost.evil.example", "127.0.0.1.evil.example:9465", "box", ""];
        for host in foreign {
            assert_eq!(here.check_host(&request(&[("host", host)])), Err(Refusal::Host), "{host}");
        }
        assert_eq!(here.check_host(&request(&[])), Err(Refusal::Host));
        assert_eq!(here.check_host(&request(&[("host", "localhost"), ("host", "evil.example")])), Err(Refusal::Host));
        assert_eq!(gate("0.0.0.0:9465").check_host(&request(&[("host", "box:9465")])), Ok(()));
    }

    #[test]
    fn beyond_this_machine_nobody_is_let_in_without_the_token() {
        let away = gate("0.0.0.0:9465");
        let link = away.link();
        let token = link.strip_prefix("http://box:9465/?token=").unwrap();
        assert_eq!(token.len(), 2 * BYTES);
        assert_ne!(away.link(), gate("0.0.0.0:9465").link(), "each run has its own");
        let bearer = format!("Bearer {token}");
        let cookie = format!("a=b; sampler-9465={token}");
        assert_eq!(away.check_token(&request(&[("authorization", &bearer)])), Ok(()));
        assert_eq!(away.check_token(&request(&[("cookie", &cookie)])), Ok(()));
        let other_port = format!("sampler-9466={token}");
        let wrong = "0".repeat(token.len());
        for (name, value) in [
            ("authorization", format!("Bearer {wrong}")),
            ("authorization", format!("Bearer {}", &token[1..])),
            ("authorization", format!("Bearer {token}0")),
            ("authorization", "Bearer ".to_owned()),
            ("authorization", token.to_owned()),
            ("cookie", other_port),
            ("cookie", format!("sampler-9465={wrong}")),
            ("x", token.to_owned()),
        ] {
            assert_eq!(away.check_token(&request(&[(name, &value)])), Err(Refusal::Token), "{name}: {value}");
        }
        assert!(away.cookie(&wrong).is_none() && away.cookie(token).is_some_and(|cookie| cookie.contains("HttpOnly")));
        assert_eq!(gate("[::1]:9465").check_token(&request(&[])), Ok(()), "who is on this machine needs none");
    }
}
