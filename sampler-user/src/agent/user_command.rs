//! Commands of the user that the agent runs: nothing of its environment, which may hold secrets, and as another user where one
//! is named.

use std::fs;

use tokio::process::Command;

/// Where a command looks for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A user and its group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookUser {
    uid: u32,
    gid: u32,
}

impl HookUser {
    /// Finds a user, by name or number, in the list of users of this machine.
    pub fn named(name: &str) -> Result<HookUser, String> {
        let list = fs::read_to_string("/etc/passwd").map_err(|error| format!("read /etc/passwd: {error}"))?;
        HookUser::among(&list, name).ok_or_else(|| format!("there is no user `{name}` in /etc/passwd"))
    }

    fn among(list: &str, name: &str) -> Option<HookUser> {
        list.lines().find_map(|line| {
            let mut parts = line.split(':');
            let (login, uid, gid) = (parts.next()?, parts.nth(1)?, parts.next()?);
            (login == name || uid == name).then_some(HookUser { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        })
    }
}

/// A program of the user, with a `PATH` alone, as a user if one is named; the groups of the agent are not passed on.
pub fn user_command(program: &str, user: Option<HookUser>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid).current_dir("/");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let list = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/none:/usr/sbin/nologin\nbad:x:y\n";
        let nobody = Some(HookUser { uid: 65_534, gid: 65_533 });
        assert_eq!(HookUser::among(list, "nobody"), nobody);
        assert_eq!(HookUser::among(list, "65534"), nobody);
        assert_eq!(HookUser::among(list, "bad"), None);
        assert_eq!(HookUser::among(list, "x"), None);
    }

    #[tokio::test]
    async fn a_command_has_nothing_of_the_agents_environment_and_is_the_user_that_is_named() {
        let is_root = rustix::process::geteuid().is_root();
        let user = is_root.then_some(HookUser { uid: 65_534, gid: 65_534 });
        let output = user_command("/usr/bin/env", None).output().await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("PATH={PATH}\n"));
        if is_root {
            let output = user_command("id", user).output().await.unwrap();
            let id = String::from_utf8(output.stdout).unwrap();
            assert!(id.starts_with("uid=65534") && !id.contains("0(root)"), "{id}");
        }
    }
}
