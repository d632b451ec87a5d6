//! `sampler install`

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, io};

use anyhow::{Context, bail};
use sampler::ui::terminal::say;

/// Record from every boot on: a hardened systemd unit, or the boot command of wsl.conf.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo sampler install -- --burst 1ms --metrics 127.0.0.1:9464")]
pub struct Args {
    /// Print what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write below this folder and start nothing (for packages and images).
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Arguments of `sampler record`.
    #[arg(last = true, value_name = "ARGS")]
    record: Vec<String>,
}

pub(super) const UNIT: &str = "etc/systemd/system/sampler.service";
pub(super) const SLICE: &str = "etc/systemd/system/sampler.slice";
pub(super) const WSL: &str = "etc/wsl.conf";
/// The unit, also for the Debian package.
const UNIT_TEXT: &str = include_str!("../../dist/sampler.service");
const SLICE_TEXT: &str = include_str!("../../dist/sampler.slice");

/// Installs.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let root = args.root.clone().unwrap_or_else(|| "/".into());
    let program = std::env::current_exe().context("find the sampler program")?;
    let command = command(&program, &args.record)?;
    let wsl_only = args.root.is_none() && !Path::new("/run/systemd/system").exists();
    let files = if wsl_only {
        if sampler::kernel::wsl::detect(Path::new("/")).is_none() {
            bail!("neither systemd nor WSL runs here; start it by other means: {command}");
        }
        let old = read(&root.join(WSL))?;
        vec![(WSL, add_boot_command(&old, &command)?)]
    } else {
        let unit = with_network(UNIT_TEXT, &args.record).replace("/usr/bin/sampler record", &command);
        vec![(UNIT, unit), (SLICE, SLICE_TEXT.to_owned())]
    };
    for (path, text) in &files {
        let path = root.join(path);
        if args.dry_run {
            crate::cli::output::print(&format!("# {}\n{text}\n", path.display()))?;
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}; run as root", path.display()))?;
        say(&format!("wrote {}", path.display()));
    }
    if !args.dry_run && args.root.is_none() {
        if wsl_only {
            say("recording begins with the next start of this distribution (wsl --terminate NAME)");
        } else {
            systemctl(&["daemon-reload"])?;
            systemctl(&["enable", "--now", "sampler.service"])?;
            say("recording to /var/lib/sampler; see: systemctl status sampler, sampler top");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| format!("read {}", path.display())),
    }
}

pub(super) fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("systemctl").args(arguments).status().context("start systemctl")?;
    if !status.success() {
        bail!("systemctl {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Arguments of the recorder that need a network, or run what may.
const NEED_NETWORK: [&str; 4] = ["--metrics", "--serve", "--on-oom", "--rules"];

/// The unit, with a network where an argument needs one.
fn with_network(unit: &str, record: &[String]) -> String {
    let needs = |word: &String| NEED_NETWORK.contains(&word.split('=').next().unwrap_or_default());
    if !record.iter().any(needs) {
        return unit.to_owned();
    }
    let unit = unit.replace("PrivateNetwork=yes\nIPAddressDeny=any\n", "");
    unit.replace("RestrictAddressFamilies=AF_UNIX\n", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n")
}

/// The command line of the recorder, as systemd and a shell both read it.
fn command(program: &Path, record: &[String]) -> anyhow::Result<String> {
    let mut words = vec![program.to_str().context("the path of the program is not UTF-8")?.to_owned(), "record".into()];
    for word in record {
        if word.chars().any(|c| c.is_control() || "\"\\$%`;".contains(c)) {
            bail!("the argument {word:?} cannot be written into a unit; leave out quotes, $, %, ` and \\");
        }
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@".contains(c));
        words.push(if plain { word.clone() } else { format!("\"{word}\"") });
    }
    Ok(words.join(" "))
}

/// Behind it in wsl.conf: that the line is ours.
const OURS: &str = "# by sampler install";

/// Sets the boot command. A command of somebody else is not touched.
fn add_boot_command(old: &str, command: &str) -> anyhow::Result<String> {
    let old = remove_boot_command(old);
    let mut section = "";
    for line in old.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[boot]" && line.split('=').next().is_some_and(|key| key.trim() == "command") {
            bail!("wsl.conf has a boot command already; add this to it: {command}");
        }
    }
    let line = format!("{OURS}\ncommand = {command} > /dev/null 2>&1 &\n");
    Ok(match old.split_once("[boot]\n") {
        Some((before, after)) => format!("{before}[boot]\n{line}{after}"),
        None => format!("{old}{}[boot]\n{line}", if old.is_empty() || old.ends_with('\n') { "" } else { "\n" }),
    })
}

pub(super) fn remove_boot_command(old: &str) -> String {
    let mut out = String::with_capacity(old.len());
    let mut lines = old.split_inclusive('\n');
    while let Some(line) = lines.next() {
        if line.trim() == OURS {
            lines.next();
        } else {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_command_is_added_once_and_taken_out_again() {
        for old in ["", "[boot]\nsystemd = false\n", "[user]\ndefault = me\n", "[boot]\n[user]\ncommand = x\n"] {
            let new = add_boot_command(old, "/usr/bin/sampler record").unwrap();
            assert_eq!(new.matches("command = /usr/bin/sampler record").count(), 1, "{new}");
            assert_eq!(add_boot_command(&new, "/usr/bin/sampler record").unwrap(), new);
            let undone = remove_boot_command(&new);
            assert!(undone == old || undone == format!("{old}[boot]\n"), "{undone}");
        }
        assert!(add_boot_command("[boot]\ncommand = mine\n", "x").unwrap_err().to_string().contains("already"));
    }

    #[test]
    fn a_service_has_a_network_only_where_it_needs_one() {
        let unit = |word: &str| with_network(UNIT_TEXT, &[word.to_owned()]);
        let is_closed =
            |unit: &str| unit.lines().any(|line| line == "PrivateNetwork=yes") && !unit.contains("AF_UNIX AF_INET");
        assert!(is_closed(&unit("--burst=1ms")));
        for word in
            ["--metrics", "--metrics=127.0.0.1:9464", "--serve", "--serve=127.0.0.1:9465", "--on-oom", "--rules"]
        {
            assert!(
                !is_closed(&unit(word)) && unit(word).contains("\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n"),
                "{word}"
            );
        }
    }

    #[test]
    fn arguments_stay_what_they_are() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let got = command(Path::new("/usr/bin/sampler"), &words(&["--cgroup", "/docker/**", "--burst=1ms"])).unwrap();
        assert_eq!(got, "/usr/bin/sampler record --cgroup \"/docker/**\" --burst=1ms");
        for word in ["$(x)", "a\nExecStop=rm", "%h", "\"", "a;b"] {
            assert!(command(Path::new("/s"), &words(&[word])).is_err(), "{word}");
        }
    }
}
