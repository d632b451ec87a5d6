//! Which recorded containers are which services of a Compose file.

use std::collections::BTreeSet;

use crate::advise::compose::{File, Service};
use crate::model::identity::Identity;
use crate::model::paths::name;

/// What a container is known by.
#[derive(Clone, Copy, Debug)]
pub struct NamedCgroup<'a> {
    /// Path of its cgroup.
    pub path: &'a str,
    /// Who it is, if that is known.
    pub who: Option<&'a Identity>,
}

/// For each container the service it is, or none. By the labels that Compose sets, else by name. Where several projects were
/// recorded with the same services, the one that the file or its folder is called after counts; a file that was taken elsewhere
/// is called after neither, and then the one project that the names show counts.
pub fn services<'a>(file: &'a File, folder: Option<&str>, containers: &[NamedCgroup<'_>]) -> Vec<Option<&'a str>> {
    let project = file.name.clone().or_else(|| folder.map(project_name));
    let projects: Vec<&str> = containers.iter().filter_map(|known| known.who?.project.as_deref()).collect();
    let is_recorded = project.as_deref().is_some_and(|project| projects.contains(&project));
    let of_project = |who: &Identity| !is_recorded || who.project.is_none() || who.project == project;
    let wanted: Vec<Option<String>> = containers
        .iter()
        .map(|known| match known.who {
            Some(who) if who.service.is_some() => who.service.clone().filter(|_| of_project(who)),
            Some(who) if who.name.is_some() => who.name.clone(),
            _ => Some(name(known.path).to_owned()),
        })
        .collect();
    let shown: BTreeSet<&str> = wanted.iter().flatten().filter_map(|name| project_of(file, name)).collect();
    let named = match (&project, shown.first()) {
        (Some(project), Some(only)) if !is_recorded && shown.len() == 1 && *project != *only => Some(*only),
        (project, _) => project.as_deref(),
    };
    wanted.iter().map(|wanted| by_name(file, named, wanted.as_deref()?)).collect()
}

/// The project of a container's name, by the service of a file that stands in it.
fn project_of<'n>(file: &File, name: &'n str) -> Option<&'n str> {
    let fits = |service: &Service| {
        ["-", "_"].iter().find_map(|dash| {
            let at = name
                .find(&format!("{dash}{}{dash}", service.name))
                .or_else(|| name.find(&format!("_{}.", service.name)));
            let project = &name[..at?];
            (!project.is_empty() && is_made_by_compose(project, &service.name, name)).then_some(project)
        })
    };
    // `shop-my-web-1` is my-web of shop, where there is a my-web.
    file.services.iter().filter_map(fits).min_by_key(|project| project.len())
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
        let identities = [
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
        let mut known: Vec<NamedCgroup<'_>> =
            identities.iter().map(|who| NamedCgroup { path: "/docker/x", who: Some(who) }).collect();
        known.push(NamedCgroup { path: "/docker/db", who: None });
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
        // A file that was taken elsewhere, with one project recorded, or two.
        let moved = File::read(b"services: {web: {image: a}, my-web: {image: b}}").unwrap();
        let taken = |names: &[&str]| {
            let whos: Vec<Identity> = names.iter().map(|name| who(None, None, Some(name))).collect();
            let known: Vec<NamedCgroup<'_>> =
                whos.iter().map(|who| NamedCgroup { path: "/docker/x", who: Some(who) }).collect();
            services(&moved, Some("backup"), &known)
                .into_iter()
                .map(|service| service.map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let found = |names: &[&str]| {
            taken(names).into_iter().map(|name| name.unwrap_or_default()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&["shop-web-1", "shop-my-web-2", "mail"]), "web my-web ");
        assert_eq!(found(&["shop-web-1", "post-web-1"]), " ");
        assert_eq!(found(&["backup-web-1", "post-web-1"]), "web ");
        let named = File { name: Some("other".into()), ..file.clone() };
        assert_eq!(services(&named, Some("shop"), &known)[..2], [None, Some("web")]);
    }
}
