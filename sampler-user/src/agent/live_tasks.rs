//! What `record` does beside recording: alerts and metrics, both from a board that the rows pass by.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::agent::alerts::{alert, rules};
use crate::agent::live_board::LiveBoard;
use crate::agent::metrics_server::serve;
use crate::agent::user_command::HookUser;
use crate::live::board::Depth;
use crate::model::recording::Origin;
use crate::ui::terminal::say;

/// Which rules, and where metrics are served.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LiveOptions {
    /// Rules of the alerts, a TOML file; without it the defaults.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// No alerts.
    #[arg(long)]
    pub no_alerts: bool,
    /// Serve OpenMetrics for Prometheus at this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Show the present and the recording in a browser, as `sampler serve` does [default address: 127.0.0.1:9465]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:9465")]
    pub serve: Option<SocketAddr>,
    /// Run the commands of --on-oom and of the rules as this user, by name or number.
    #[arg(long, value_name = "USER", value_parser = HookUser::named)]
    pub hook_user: Option<HookUser>,
}

/// What runs beside the recorder until it is dropped.
pub struct LiveTasks {
    /// The board that the rows have to pass by.
    pub board: LiveBoard,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for LiveTasks {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Half an hour of history: enough to judge growth, and 20 KiB of memory a cgroup.
const DEPTH: Depth = Depth { step_us: 10_000_000, points: 180 };

impl LiveOptions {
    /// Starts what is wanted; `None` when that is nothing and nobody else needs the board.
    pub async fn begin(&self, origin: &Origin, needed: bool) -> anyhow::Result<Option<LiveTasks>> {
        if let Some(address) = self.serve {
            // It is a child that will listen, once there is a recording.
            TcpListener::bind(address).await.with_context(|| format!("listen on {address}; choose another --serve"))?;
        }
        if self.no_alerts && self.metrics.is_none() && !needed {
            return Ok(None);
        }
        let board = LiveBoard::new(DEPTH, origin.host.clone(), origin.wsl.clone());
        let mut tasks = Vec::new();
        if !self.no_alerts {
            tasks.push(tokio::spawn(alert(board.clone(), rules(self.rules.as_ref())?, self.hook_user)));
        }
        if let Some(address) = self.metrics {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("listen on {address}; choose another --metrics"))?;
            say(&format!("metrics at http://{}/metrics", listener.local_addr().unwrap_or(address)));
            tasks.push(tokio::spawn(serve(board.clone(), listener)));
        }
        Ok(Some(LiveTasks { board, tasks }))
    }
}
