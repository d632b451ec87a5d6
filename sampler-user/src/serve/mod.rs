//! A recording in a browser: its present and its past, read-only, from this program alone.
//!
//! The present is followed in the journal, as `top` does. Long times are drawn from an overview that a pass over the recording
//! makes once, short ones from the rows. Every other document is printed by a child, with `--json`: it is the same, a deadline can
//! end it, and its memory goes with it.

mod app;
mod body;
mod documents;
mod downloads;
mod follower;
mod gate;
mod listener;
mod opened;
mod patient;
mod plots;
mod query;
mod recordings;
mod routes;
mod seen;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use self::app::App;
use self::documents::Documents;
use self::gate::Gate;
use self::recordings::Recordings;
use crate::ui::terminal::say;

pub use self::routes::ROUTES;

/// What is served, and where.
#[derive(Debug)]
pub struct Options {
    /// A recording, or a folder of recordings.
    pub dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Compose files for which advice is given.
    pub compose: Vec<PathBuf>,
}

/// Serves until it is aborted.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    let recordings = Recordings::of(&options.dir)?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("listen on {}; choose another --listen", options.listen))?;
    let address = listener.local_addr().context("ask for the address")?;
    let gate = Gate::new(address)?;
    say(&format!("dashboard at {}", gate.link()));
    if gate.needs_token() {
        say("anyone who has this link can read the recording; it crosses the network as plain text");
    }
    let app = Arc::new(App { recordings, gate, documents: Documents::new(options.compose) });
    listener::listen(app, listener).await;
    Ok(())
}
