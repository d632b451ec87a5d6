//! Which recorded containers are which services of a Compose file.

use crate::advise::compose::File;
use crate::model::identity::Identity;
use crate::model::paths::name;

/// What a container is known by.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Path of its cgroup.
    pub path: &'a str,
    /// Who it is, if somebody told.
    pub who: Option<&'a Identity>,
}

/// For each container the service it is, or none. By the labels that Compose sets, else by name. Where several projects were
/// recorded with the same services, the one that the file or its folder is called after counts.
pub fn services<'a>(file: &'a File, folder: Option<&str>, containers: &[Known<'_>]) -> Vec<Option<&'a str>> {
    let project = file.name.clone().or_else(|| folder.map(project_name));
    let projects: Vec<&str> = containers.iter().filter_map(|known| known.who?.project.as_deref()).collect();
    let is_recorded = project.as_deref().is_some_and(|project| projects.contains(&project));
    containers
        .iter()
        .map(|known| {
            let of_project = |who: &Identity| !is_recorded || who.project.is_none() || who.project == project;
            let wanted = match known.who {
                Some(who) if who.service.is_some() => who.service.clone().filter(|_| of_project(who))?,
                Some(who) if who.name.is_some() => who.name.clone()?,
                _ => name(known.path).to_owned(),
            };
            by_name(file, project.as_deref(), &wanted)
        })
        .collect()
}

fn by_name<'a>(file: &'a File, project: Option<&str>, wanted: &str) -> Option<&'a str> {
    let is = |service: &&crate::advise::compose::Service| {
        service.name == wanted
            || service.container_name.as_deref() == Some(wanted)
            || project.is_some_and(|project| is_made_by_compose(project, &service.name, wanted))
    };
    file.services.iter().find(is).map(|service| service.name.as_str())
}

/// `project-service-1`, with underscores and perhaps more behind it as version 1 of Compose has it, `-run-…` of `compose run`, and
/// `stack_service.1.…` of Swarm.
fn is_made_by_compose(project: &str, service: &str, wanted: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_id = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let swarm = || {
        let (slot, task) = wanted.strip_prefix(&format!("{project}_{service}."))?.split_once('.')?;
        // A global service has the node's id in place of a number.
        Some((is_number(slot) || is_id(slot, 25)) && is_id(task, 25))
    };
    let compose = ["-", "_"].iter().any(|dash| {
        let Some(rest) = wanted.strip_prefix(&format!("{project}{dash}{service}{dash}")) else { return false };
        let (number, id) = rest.split_once(dash).unwrap_or((rest, ""));
        let is_one_off = number == "run" && (is_id(id, 12) || is_number(id));
        is_one_off || is_number(number) && (id.is_empty() && rest == number || is_id(id, 12))
    });
    compose || swarm() == Some(true)
}

/// The project of a folder: lower case, letters, digits, `-` and `_`, as Compose makes it.
fn project_name(folder: &str) -> String {
    let keep = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c);
    folder.to_lowercase().chars().filter(keep).collect::<String>().trim_start_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(project: Option<&str>, service: Option<&str>, name: Option<&str>) -> Identity {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Identity { project: own(project), service: own(service), name: own(name), ..Identity::container("docker", "x") }
    }

    #[test]
    fn labels_come_first_then_names_and_the_project_decides() {
        let file = File::read(b"services: {web: {image: a, container_name: front}, db: {image: b}}").unwrap();
        let told = [
            who(Some("shop"), Some("web"), Some("shop-web-1")),
            who(Some("other"), Some("web"), None),
            who(None, None, Some("shop_db_2")),
            who(None, None, Some("front")),
            who(None, None, Some("mail")),
            who(None, None, Some("shop_web.1.abcdefghijklmnopqrstuvwxy")),
            who(None, None, Some("shop_db.abcdefghijklmnopqrstuvwxy.0123456789abcdefghijklmno")),
            who(None, None, Some("shop_web_1_0123456789ab")),
            who(None, None, Some("shop-db-run-0123456789ab")),
            who(None, None, Some("shop_web.x.1")),
        ];
        let mut known: Vec<Known<'_>> = told.iter().map(|who| Known { path: "/docker/x", who: Some(who) }).collect();
        known.push(Known { path: "/docker/db", who: None });
        let of_shop = [
            Some("web"),
            None,
            Some("db"),
            Some("web"),
            None,
            Some("web"),
            Some("db"),
            Some("web"),
            Some("db"),
            None,
            Some("db"),
        ];
        assert_eq!(services(&file, Some("My.Shop"), &known)[..2], [Some("web"), Some("web")], "nobody is of myshop");
        assert_eq!(services(&file, Some("Shop"), &known), of_shop);
        let named = File { name: Some("other".into()), ..file.clone() };
        assert_eq!(services(&named, Some("shop"), &known)[..2], [None, Some("web")]);
    }
}
