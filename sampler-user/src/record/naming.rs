//! Names: a thread that asks the runtimes what they call the cgroups that appear, and records it as events.
//!
//! Docker's stream of events names a container before its cgroup exists, so that one of 50 ms has its name; where there is no
//! stream, the state files are read as soon as the cgroup appears, and the daemon is asked by id, also after its end.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::containers::names::docker_api::{Api, End};
use crate::containers::names::{Roots, from_files};
use crate::containers::runtimes::identify;
use crate::model::event::{Event, EventKind};
use crate::model::identity::Identity;
use crate::record::config::NameSources;
use crate::record::relay::Message;
use crate::record::worker::spawn;

/// An unknown name is looked up again after these times, each counted from the attempt before.
const AGAIN: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
];
/// Containers whose names are kept.
const KNOWN: usize = 4096;
/// The daemon is looked for this often while it is away.
const RECONNECT: Duration = Duration::from_secs(15);
/// How long the end of the recording waits for names that are being asked for.
const END: Duration = Duration::from_millis(500);

/// The thread, as the control loop sees it.
pub struct Naming {
    asks: Option<UnboundedSender<String>>,
    done: mpsc::Receiver<()>,
}

impl Naming {
    /// Starts the thread.
    pub fn begin(sources: &NameSources, messages: mpsc::Sender<Message>) -> io::Result<Naming> {
        let (asks, inbox) = unbounded_channel();
        let (finished, done) = mpsc::channel();
        if !sources.ask {
            return Ok(Naming { asks: None, done });
        }
        let api = Api::new(sources.docker_socket.as_deref());
        spawn("sampler-names", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(run(api, inbox, messages));
            }
            let _ = finished.send(());
        })?;
        Ok(Naming { asks: Some(asks), done })
    }

    /// A cgroup appeared.
    pub fn seen(&self, cgroup: &str) {
        if let Some(asks) = &self.asks {
            let _ = asks.send(cgroup.to_owned());
        }
    }

    /// Waits for the names that are being asked for, but not long.
    pub fn end(&mut self) {
        if self.asks.take().is_some() {
            let _ = self.done.recv_timeout(END);
        }
    }
}

async fn run(api: Api, mut asks: UnboundedReceiver<String>, messages: mpsc::Sender<Message>) {
    let (sender, mut news) = unbounded_channel();
    let mut names = Names {
        api: api.clone(),
        roots: Roots::default(),
        known: HashMap::new(),
        order: VecDeque::new(),
        open: Vec::new(),
        complained: false,
        messages,
    };
    let stream = tokio::spawn(follow(api, sender));
    loop {
        let due = names.open.iter().map(|open| open.at).min();
        tokio::select! {
            biased;
            Some(news) = news.recv() => names.on_news(news),
            cgroup = asks.recv() => match cgroup {
                Some(cgroup) => names.seen(&cgroup).await,
                None => break,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => names.ask_again(Instant::now()).await,
        }
    }
    while let Ok(news) = news.try_recv() {
        names.on_news(news);
    }
    let _ = timeout(END, names.ask_again(Instant::now() + Duration::from_secs(3600))).await;
    stream.abort();
}

/// What the daemon reports.
enum News {
    /// Where it keeps its state.
    Folder(PathBuf),
    /// Who a container is, and how it ended.
    Who(Box<Identity>, Option<End>),
}

/// Follows the daemon until the receiver is dropped; the daemon may come and go.
async fn follow(api: Api, sender: UnboundedSender<News>) {
    while !sender.is_closed() {
        if let Ok(mut stream) = api.follow().await {
            if let Some(folder) = api.data_folder().await {
                let _ = sender.send(News::Folder(folder));
            }
            // After the stream has begun, so that none falls between.
            for identity in api.list().await.unwrap_or_default() {
                let _ = sender.send(News::Who(identity.into(), None));
            }
            while let Some(happening) = stream.next().await {
                if sender.send(News::Who(happening.who.into(), happening.end)).is_err() {
                    return;
                }
            }
        }
        sleep(RECONNECT).await;
    }
}

/// A cgroup that has no name yet.
struct Open {
    cgroup: String,
    identity: Identity,
    tries: usize,
    at: Instant,
}

struct Names {
    api: Api,
    roots: Roots,
    /// Containers by id, and the cgroups that were named by them.
    known: HashMap<String, (Identity, Option<String>)>,
    order: VecDeque<String>,
    open: Vec<Open>,
    complained: bool,
    messages: mpsc::Sender<Message>,
}

impl Names {
    fn on_news(&mut self, news: News) {
        let (identity, end) = match news {
            News::Folder(folder) => {
                if !self.roots.docker.contains(&folder) {
                    self.roots.docker.push(folder);
                }
                return;
            }
            News::Who(identity, end) => (*identity, end),
        };
        let Some(id) = identity.container.clone() else { return };
        if let Some(End { action, signal, code }) = end {
            let runtime = identity.runtime.clone();
            let what = EventKind::ContainerEvent { runtime, container: id.clone(), action, signal, code };
            let cgroup = self.known.get(&id).and_then(|(_, cgroup)| cgroup.clone());
            let _ = self.messages.send(Message::Event(Event { cgroup, ..Event::now(what) }));
        }
        if let Some(at) = self.open.iter().position(|open| open.identity.container.as_ref() == Some(&id)) {
            let open = self.open.swap_remove(at);
            self.keep(identity.clone(), None);
            self.record_name(&open.cgroup, open.identity, &identity);
            return;
        }
        let named = self.known.get(&id).and_then(|(old, cgroup)| cgroup.clone().filter(|_| old.name != identity.name));
        self.keep(identity.clone(), None);
        // Renamed.
        if let Some((cgroup, own)) = named.and_then(|cgroup| Some((cgroup.clone(), identify(&cgroup)?))) {
            self.record_name(&cgroup, own, &identity);
        }
    }

    /// Keeps who a container is, and which cgroup was named by it.
    fn keep(&mut self, identity: Identity, cgroup: Option<String>) {
        let Some(id) = identity.container.clone() else { return };
        let before = self.known.remove(&id);
        if before.is_none() {
            self.order.push_back(id.clone());
            if self.order.len() > KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(id, (identity, cgroup.or(before.and_then(|(_, cgroup)| cgroup))));
    }

    async fn seen(&mut self, cgroup: &str) {
        // Of a cgroup inside a container the container's name is enough; a unit's name is in the path.
        let Some(identity) = identify(cgroup).filter(|who| who.is_container() && who.name.is_none()) else {
            return;
        };
        self.ask(Open { cgroup: cgroup.to_owned(), identity, tries: 0, at: Instant::now() }).await;
    }

    async fn ask_again(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.open).into_iter().partition(|open| open.at <= now);
        self.open = later;
        for open in due {
            self.ask(open).await;
        }
    }

    async fn ask(&mut self, mut open: Open) {
        let id = open.identity.container.clone().unwrap_or_default();
        let mut who = self.known.get(&id).map(|(who, _)| who.clone());
        if who.is_none() {
            who = from_files(&self.roots, &open.identity);
        }
        if who.is_none() && open.identity.runtime == "docker" {
            who = self.api.inspect(&id).await;
        }
        if let Some(who) = who {
            self.record_name(&open.cgroup, open.identity, &who);
            return;
        }
        match AGAIN.get(open.tries) {
            Some(wait) => {
                open.tries += 1;
                open.at = Instant::now() + *wait;
                self.open.push(open);
            }
            None if !self.complained => {
                self.complained = true;
                let what = format!(
                    "no name for the {} container in {}: its state files cannot be read, and {} does not know it; it is \
                     shown by its id",
                    open.identity.runtime,
                    open.cgroup,
                    self.api.socket().display()
                );
                let _ = self.messages.send(Message::Event(Event::now(EventKind::Degraded { what })));
            }
            None => {}
        }
    }

    fn record_name(&mut self, cgroup: &str, mut own: Identity, who: &Identity) {
        own.complete(who);
        // The runtime's name is newer than the path's.
        own.name = who.name.clone().or(own.name);
        self.keep(Identity { container: own.container.clone(), ..who.clone() }, Some(cgroup.to_owned()));
        let _ = self.messages.send(Message::Event(Event::of(cgroup, EventKind::Named(Box::new(own)))));
    }
}
