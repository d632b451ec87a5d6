//! `docker update`: the limits of containers that run, at once; a Compose file sets them when they are made again.

use crate::advise::Container;

/// The line that sets the limits of a container, if it is Docker's and its name or id can stand in a command.
pub fn update(container: &Container) -> Option<String> {
    let who = container.who.as_ref().filter(|who| who.runtime == "docker" && who.is_container())?;
    let name = [who.name.as_deref(), who.container.as_deref()].into_iter().flatten().find(|name| is_plain(name))?;
    let limit = container.after.filter(|limit| Some(*limit) != container.advice.limit)?;
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut line = format!("docker update --memory {}m --memory-swap {}m", mib(limit), mib(container.with_swap(limit)));
    if let Some(reservation) = container.advice.reservation {
        line.push_str(&format!(" --memory-reservation {}m", mib(reservation.min(limit))));
    }
    Some(format!("{line} {name}"))
}

/// As Docker allows names: no word of a shell, no option.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_command() {
        for (name, is) in
            [("web-1", true), ("a.b_c", true), ("-x", false), ("a;b", false), ("$(x)", false), ("", false)]
        {
            assert_eq!(is_plain(name), is, "{name}");
        }
    }
}
