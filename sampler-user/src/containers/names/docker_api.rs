//! Docker over its unix socket: the list of containers, one container, and the stream of events, which announces a container
//! before its cgroup exists.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::containers::names::docker_files::Container;
use crate::containers::names::is_plain;
use crate::model::identity::{Identity, cut};

/// Name in `named_by`.
pub const NAME: &str = "docker";

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// A longer answer is refused, bytes.
const MOST: usize = 8 << 20;
/// A longer line of the stream is stepped over, bytes.
const LINE: usize = 256 << 10;

/// The daemon behind a socket.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Names")]
    names: Option<Vec<String>>,
    #[serde(rename = "Image")]
    image: Option<String>,
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    #[serde(rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct DockerEvent {
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: HashMap<String, String>,
}

/// The limits of a container, as the daemon has them: bytes; 0 is none, and of swap -1 is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Memory {
    /// memory.max.
    pub memory: i64,
    /// Memory and swap together.
    #[serde(default)]
    pub memory_swap: i64,
}

impl Memory {
    /// The same with another limit, and as much room for swap as before. `None` where the daemon set no limit: then it is not
    /// its own.
    fn moved(self, to: u64) -> Option<Memory> {
        let to = i64::try_from(to).ok().filter(|_| self.memory > 0)?;
        let swap = if self.memory_swap > 0 { self.memory_swap - self.memory + to } else { self.memory_swap };
        Some(Memory { memory: to, memory_swap: swap })
    }
}

#[derive(Deserialize)]
struct HasLimits {
    #[serde(rename = "HostConfig")]
    config: Memory,
}

#[derive(Deserialize)]
struct Complaint {
    message: String,
}

#[derive(Deserialize)]
struct Daemon {
    #[serde(rename = "DockerRootDir")]
    root: PathBuf,
}

impl Api {
    /// The daemon of a socket, of `DOCKER_HOST`, or the usual one.
    pub fn new(socket: Option<&Path>) -> Api {
        let host = || Some(PathBuf::from(std::env::var("DOCKER_HOST").ok()?.strip_prefix("unix://")?));
        let socket = socket.map(Path::to_owned).or_else(host).unwrap_or_else(|| "/run/docker.sock".into());
        Api { socket }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// All containers, those that ended too.
    pub async fn list(&self) -> io::Result<Vec<Identity>> {
        let all: Vec<Listed> = self.read("/containers/json?all=1").await?;
        let identity = |listed: Listed| {
            let mut identity = Identity::container("docker", &cut(&listed.id));
            // A container that is linked has the names of its links too, with more than one slash.
            let names = listed.names.unwrap_or_default();
            let name = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
            identity.name = name.map(cut);
            identity.image = listed.image.as_deref().map(cut);
            identity.image_id = listed.image_id.as_deref().map(cut);
            identity.label(listed.labels.unwrap_or_default());
            from_docker(identity)
        };
        Ok(all.into_iter().map(identity).collect())
    }

    /// One container, if the daemon knows it.
    pub async fn inspect(&self, id: &str) -> Option<Identity> {
        if !is_plain(id) {
            return None;
        }
        let container: Container = self.read(&format!("/containers/{id}/json")).await.ok()?;
        Some(from_docker(container.identity(id)))
    }

    /// The daemon's data folder, as the daemon sees it.
    pub async fn data_folder(&self) -> Option<PathBuf> {
        Some(self.read::<Daemon>("/info").await.ok()?.root)
    }

    /// Follows what happens to containers. Returns once the daemon has begun to report; the stream follows.
    pub async fn follow(&self) -> io::Result<Stream> {
        let filter = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D";
        let response = timeout(PATIENCE, self.ask(filter)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Stream { body: response.into_body(), line: Vec::new() })
    }

    /// The limit of a container as the daemon has it, bytes, 0 for none. `None`: the daemon does not know the container.
    pub async fn memory(&self, id: &str) -> io::Result<Option<u64>> {
        if !is_plain(id) {
            return Ok(None);
        }
        let found = self.find::<HasLimits>(&format!("/containers/{id}/json")).await?;
        Ok(found.map(|HasLimits { config }| u64::try_from(config.memory).unwrap_or(0)))
    }

    /// Sets the limit of a container, as `docker update --memory` does.
    pub async fn update_memory(&self, id: &str, to: u64) -> io::Result<()> {
        if !is_plain(id) {
            return Err(io::Error::other("this is no id of a container"));
        }
        let HasLimits { config } = self.read(&format!("/containers/{id}/json")).await?;
        let moved = config.moved(to).ok_or_else(|| io::Error::other("the daemon has set no limit for it"))?;
        let body = serde_json::to_vec(&moved).map_err(io::Error::other)?;
        let request = Request::post(format!("/containers/{id}/update"))
            .header("Host", "docker")
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(io::Error::other)?;
        let whole = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MOST).collect().await.map_err(io::Error::other)?.to_bytes();
            if status.is_success() {
                return Ok(());
            }
            let why =
                serde_json::from_slice::<Complaint>(&body).map_or_else(|_| status.to_string(), |c| cut(&c.message));
            Err(io::Error::other(format!("the daemon answers: {why}")))
        };
        timeout(PATIENCE, whole).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    pub(super) async fn read<T: serde::de::DeserializeOwned>(&self, what: &str) -> io::Result<T> {
        let found = self.find(what).await?;
        found.ok_or_else(|| io::Error::other(format!("{what}: the daemon answers {}", StatusCode::NOT_FOUND)))
    }

    /// `None` where the daemon answers that there is no such thing.
    async fn find<T: serde::de::DeserializeOwned>(&self, what: &str) -> io::Result<Option<T>> {
        let whole = async {
            let response = self.ask(what).await?;
            if response.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !response.status().is_success() {
                return Err(io::Error::other(format!("{what}: the daemon answers {}", response.status())));
            }
            let body = Limited::new(response.into_body(), MOST).collect().await.map_err(io::Error::other)?;
            serde_json::from_slice(&body.to_bytes()).map(Some).map_err(io::Error::other)
        };
        timeout(PATIENCE, whole).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn ask(&self, what: &str) -> io::Result<Response<Incoming>> {
        let request = Request::get(what).header("Host", "docker").body(Full::default()).map_err(io::Error::other)?;
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(io::Error::other)
    }
}

fn from_docker(identity: Identity) -> Identity {
    Identity { named_by: Some(NAME.into()), ..identity }
}

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// The container.
    pub who: Identity,
    /// What the daemon says of its end, if that is what it was.
    pub end: Option<End>,
}

/// What the daemon says of the end of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `kill`, `stop`, `oom` or `die`.
    pub action: String,
    /// The signal it sent.
    pub signal: Option<u8>,
    /// The exit code.
    pub code: Option<u8>,
}

/// What happens to containers, as the daemon reports it.
pub struct Stream {
    body: Incoming,
    line: Vec<u8>,
}

impl Stream {
    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Happening> {
        loop {
            while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                if let Some(happening) = parse_event(&line) {
                    return Some(happening);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(bytes) = frame.into_data() {
                self.line.extend_from_slice(&bytes);
            }
            if self.line.len() > LINE {
                self.line.clear();
            }
        }
    }
}

/// An event: the name of the container, its image and its labels are all attributes.
fn parse_event(line: &[u8]) -> Option<Happening> {
    let DockerEvent { action, actor } = serde_json::from_slice::<DockerEvent>(line).ok()?;
    let Actor { id, mut attributes } = actor;
    let mut identity = Identity::container("docker", &cut(&id));
    identity.name = Some(cut(&attributes.remove("name")?));
    identity.image = attributes.remove("image").as_deref().map(cut);
    let number = |name: &str| attributes.get(name)?.parse().ok();
    let end = ["kill", "stop", "oom", "die"].contains(&action.as_str());
    let end = end.then(|| End { signal: number("signal"), code: number("exitCode"), action });
    // Of the event itself, not of the container.
    for own in ["exitCode", "signal", "execID", "execDuration", "oldName", "comment", "container"] {
        attributes.remove(own);
    }
    identity.label(attributes);
    Some(Happening { who: from_docker(identity), end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_limit_keeps_the_room_for_swap() {
        let of = |memory, memory_swap| Memory { memory, memory_swap };
        for (old, to, new) in [
            (of(100, 200), 150, Some(of(150, 250))),
            (of(100, 100), 150, Some(of(150, 150))),
            (of(150, 250), 100, Some(of(100, 200))),
            (of(100, -1), 150, Some(of(150, -1))),
            (of(100, 0), 150, Some(of(150, 0))),
            (of(0, 0), 150, None),
            (of(100, 100), u64::MAX, None),
        ] {
            assert_eq!(old.moved(to), new, "{old:?}");
        }
        let limits: HasLimits = serde_json::from_str(r#"{"HostConfig":{"Memory":7,"MemorySwap":-1,"X":1}}"#).unwrap();
        assert_eq!(limits.config, of(7, -1));
        assert_eq!(serde_json::to_string(&of(7, -1)).unwrap(), r#"{"Memory":7,"MemorySwap":-1}"#);
    }

    #[test]
    fn an_event_names_who_it_is_about() {
        let line =
            br#"{"status":"create","id":"ab12","Type":"container","Action":"create","Actor":{"ID":"ab12","Attributes":
            {"image":"box","name":"brief","com.docker.compose.project":"p","exitCode":"137"}},"time":1}"#;
        let Happening { who, end } = parse_event(line).unwrap();
        assert_eq!(end, None);
        assert_eq!(
            (who.container.as_deref(), who.name.as_deref(), who.image.as_deref()),
            (Some("ab12"), Some("brief"), Some("box"))
        );
        assert_eq!((who.project.as_deref(), who.labels.len()), (Some("p"), 1));
        let end = |action: &str, more: &str| {
            let line =
                format!(r#"{{"Action":"{action}","Actor":{{"ID":"ab12","Attributes":{{"name":"brief"{more}}}}}}}"#);
            parse_event(line.as_bytes()).unwrap().end.map(|end| (end.action, end.signal, end.code))
        };
        assert_eq!(end("kill", r#","signal":"9""#), Some(("kill".into(), Some(9), None)));
        assert_eq!(end("die", r#","exitCode":"137""#), Some(("die".into(), None, Some(137))));
        assert_eq!(end("oom", ""), Some(("oom".into(), None, None)));
        assert_eq!(end("exec_die", r#","exitCode":"1""#), None, "of a process that was started in it");
        assert_eq!(end("die", r#","exitCode":"-1""#), Some(("die".into(), None, None)), "not a code");
        assert_eq!(parse_event(b"not json"), None);
        assert_eq!(parse_event(br#"{"Actor":{"ID":"x","Attributes":{}}}"#), None);
    }
}
