//! A whole project: several files, what they include and extend, and their variables, merged in the order of compose-go
//! (`loader`): of each file its variables, what its services extend, then what it includes, then over the files before it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::advise::compose::environment::{Missing, Variables, dotenv, substitute};
use crate::advise::compose::error::{Error, MOST};
use crate::advise::compose::merge::merge;
use crate::advise::compose::yaml::{Map, Node, documents};

/// Most files that one project is read from.
const FILES: usize = 500;
/// How deep files include each other and services extend each other.
const DEPTH: usize = 32;

/// What a project is read from.
pub struct Sources<'a> {
    /// Its files, in order.
    pub files: Vec<PathBuf>,
    /// The folder that paths are relative to; absent: that of the first file.
    pub directory: Option<PathBuf>,
    /// Files of variables in place of `.env`.
    pub env_files: Vec<PathBuf>,
    /// Variables of the shell, which win over those of files.
    pub variables: Variables,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// A project, merged.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// All of it.
    pub root: Map,
    /// The variables it was read with.
    pub variables: Variables,
    /// Variables that are not there.
    pub missing: Missing,
    /// Addresses of files that are not on this machine.
    pub unread: BTreeSet<String>,
}

/// Reads a project.
pub fn load(sources: &Sources<'_>) -> Result<Project, Error> {
    let first = sources.files.first().ok_or(Error::NoServices)?;
    let folder = first.parent().unwrap_or(Path::new("")).to_owned();
    let directory = sources.directory.clone().unwrap_or(folder);
    let mut loader = Loader { sources, missing: Missing::default(), unread: BTreeSet::new(), files: 0 };
    let variables = loader.variables(&sources.env_files, &directory, &sources.variables)?;
    let root = loader.model(&sources.files, &directory, &variables, 0)?;
    Ok(Project { root, variables, missing: loader.missing, unread: loader.unread })
}

struct Loader<'a> {
    sources: &'a Sources<'a>,
    missing: Missing,
    unread: BTreeSet<String>,
    files: usize,
}

impl Loader<'_> {
    fn text(&mut self, path: &Path) -> Result<String, Error> {
        self.files += 1;
        if self.files > FILES {
            return Err(Error::Many);
        }
        let bytes = (self.sources.read)(path).map_err(|source| Error::Missing { path: path.to_owned(), source })?;
        if bytes.len() > MOST {
            return Err(Error::Large.of(path));
        }
        let text = String::from_utf8(bytes).map_err(|error| Error::Yaml(error.to_string()).of(path))?;
        Ok(text.trim_start_matches('\u{feff}').to_owned())
    }

    /// The variables of a folder: of the files that are named, else of its `.env`; below those of `outer`.
    fn variables(&mut self, named: &[PathBuf], folder: &Path, outer: &Variables) -> Result<Variables, Error> {
        let mut all = Variables::new();
        for path in named {
            all.extend(dotenv(&self.text(path)?, outer));
        }
        if named.is_empty()
            && let Ok(bytes) = (self.sources.read)(&folder.join(".env"))
        {
            all.extend(dotenv(&String::from_utf8_lossy(&bytes), outer));
        }
        all.extend(outer.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(all)
    }

    /// The mappings that a file holds, with their variables in place.
    fn mappings(&mut self, path: &Path, variables: &Variables) -> Result<Vec<Map>, Error> {
        let text = self.text(path)?;
        let mut maps = Vec::new();
        for document in documents(&text).map_err(|error| Error::Yaml(error).of(path))? {
            match self.filled(document, variables) {
                Node::Map(map) => maps.push(map),
                Node::Null => {}
                _ => return Err(Error::NoServices.of(path)),
            }
        }
        Ok(maps)
    }

    /// A node with its variables in place; keys stay.
    fn filled(&mut self, node: Node, variables: &Variables) -> Node {
        match node {
            Node::Text(text) if text.contains('$') => Node::Text(substitute(&text, variables, &mut self.missing)),
            Node::List(list) => Node::List(list.into_iter().map(|node| self.filled(node, variables)).collect()),
            Node::Map(map) => {
                Node::Map(map.into_iter().map(|(key, node)| (key, self.filled(node, variables))).collect())
            }
            Node::Override(node) => Node::Override(Box::new(self.filled(*node, variables))),
            node => node,
        }
    }

    /// The files of a project, or of a part that is included, merged.
    fn model(&mut self, files: &[PathBuf], folder: &Path, variables: &Variables, depth: usize) -> Result<Map, Error> {
        let mut all = Map::new();
        for path in files {
            for mut map in self.mappings(path, variables)? {
                if let Some(names) = format_one(&map) {
                    return Err(Error::FormatOne(names).of(path));
                }
                if let Some(Node::Map(services)) = map.get("services").cloned() {
                    let mut whole = Map::new();
                    for name in services.keys() {
                        let mut seen = Vec::new();
                        let service = self.service(name, &services, path, folder, variables, &mut seen)?;
                        whole.insert(name.clone(), service);
                    }
                    map.insert("services".into(), Node::Map(whole));
                }
                self.include(&mut map, path, folder, variables, depth)?;
                merge(&mut all, map, &mut Vec::new());
            }
        }
        Ok(all)
    }

    /// A service over what it extends.
    fn service(
        &mut self,
        name: &str,
        services: &Map,
        file: &Path,
        folder: &Path,
        variables: &Variables,
        seen: &mut Vec<(PathBuf, String)>,
    ) -> Result<Node, Error> {
        let place = (file.to_owned(), name.to_owned());
        if seen.contains(&place) || seen.len() > DEPTH {
            return Err(Error::Cycle(name.to_owned()).of(file));
        }
        seen.push(place);
        let node = services.get(name).cloned().unwrap_or(Node::Null);
        let Node::Map(mut own) = node else { return Ok(node) };
        let Some(extends) = own.remove("extends") else { return Ok(Node::Map(own)) };
        let (of, from) = match &extends {
            Node::Map(map) => (map.get("service").and_then(Node::text), map.get("file").and_then(Node::text)),
            node => (node.text(), None),
        };
        let lost = |of: &str| Error::NoBase { service: name.to_owned(), of: of.to_owned() };
        let of = of.ok_or_else(|| lost("?").of(file))?;
        let base = match from {
            Some(from) if is_remote(&from) => {
                self.unread.insert(from);
                return Ok(Node::Map(own));
            }
            Some(from) => {
                let path = folder.join(from);
                let mut all = Map::new();
                for map in self.mappings(&path, variables)? {
                    merge(&mut all, map, &mut Vec::new());
                }
                // A file of format 1 has its services at the root.
                let others = match all.remove("services") {
                    Some(Node::Map(services)) => services,
                    _ => all,
                };
                let below = path.parent().unwrap_or(folder).to_owned();
                others.get(&of).ok_or_else(|| lost(&of).of(&path))?;
                self.service(&of, &others, &path, &below, variables, seen)?
            }
            None => {
                services.get(&of).ok_or_else(|| lost(&of).of(file))?;
                self.service(&of, services, file, folder, variables, seen)?
            }
        };
        let Node::Map(mut base) = base else { return Ok(Node::Map(own)) };
        merge(&mut base, own, &mut vec!["services".into(), name.to_owned()]);
        Ok(Node::Map(base))
    }

    /// Takes in what a file includes.
    fn include(
        &mut self,
        map: &mut Map,
        file: &Path,
        folder: &Path,
        variables: &Variables,
        depth: usize,
    ) -> Result<(), Error> {
        let items = match map.remove("include") {
            Some(Node::List(items)) => items,
            _ => return Ok(()),
        };
        if depth >= DEPTH {
            return Err(Error::Cycle("include".into()).of(file));
        }
        for item in items {
            let get = |key: &str| item.map().and_then(|map| map.get(key)).map(Node::texts).unwrap_or_default();
            let paths = if item.map().is_some() { get("path") } else { item.texts() };
            let Some(first) = paths.first() else { continue };
            if let Some(remote) = paths.iter().find(|path| is_remote(path)) {
                self.unread.insert(remote.clone());
                continue;
            }
            let files: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
            let below = match get("project_directory").first() {
                Some(directory) => folder.join(directory),
                None => folder.join(first).parent().unwrap_or(folder).to_owned(),
            };
            let env_files: Vec<PathBuf> = get("env_file").iter().map(|path| folder.join(path)).collect();
            let inner = self.variables(&env_files, &below, variables)?;
            let included = self.model(&files, &below, &inner, depth + 1)?;
            let Some(Node::Map(theirs)) = included.get("services").cloned() else { continue };
            let Node::Map(own) = map.entry("services".into()).or_insert_with(|| Node::Map(Map::new())) else {
                continue;
            };
            for (name, service) in theirs {
                match own.get(&name) {
                    Some(known) if *known != service => return Err(Error::Conflict(name).of(file)),
                    _ => drop(own.insert(name, service)),
                }
            }
        }
        Ok(())
    }
}

/// An address that Compose fetches: of Git, OCI or the web.
fn is_remote(path: &str) -> bool {
    ["http://", "https://", "git@", "oci://", "ssh://", "git://"].iter().any(|scheme| path.starts_with(scheme))
}

/// The services of a file of format 1, which has them at its root.
fn format_one(map: &Map) -> Option<Vec<String>> {
    if ["services", "include", "version", "networks", "volumes", "name"].iter().any(|key| map.contains_key(*key)) {
        return None;
    }
    let is_service = |node: &Node| {
        let has = |map: &Map| ["image", "build", "extends"].iter().any(|key| map.contains_key(*key));
        node.map().is_some_and(has)
    };
    let names: Vec<String> = map.iter().filter(|(_, node)| is_service(node)).map(|(name, _)| name.clone()).collect();
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests;
