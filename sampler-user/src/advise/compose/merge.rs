//! How Compose lays one mapping over another: a second file over the first, a service over the one it extends.

use crate::advise::compose::yaml::{Map, Node};

/// Lays `from` over `into`. `path` is where both are, below the root.
pub fn merge(into: &mut Map, from: Map, path: &mut Vec<String>) {
    for (key, node) in from {
        path.push(key.clone());
        match (into.remove(&key).map(bare), node) {
            // Kept, for what is laid over later.
            (_, node @ (Node::Reset | Node::Override(_))) => drop(into.insert(key, node)),
            (Some(Node::Map(mut old)), Node::Map(new)) => {
                merge(&mut old, new, path);
                into.insert(key, Node::Map(old));
            }
            (Some(old @ (Node::Map(_) | Node::List(_))), Node::Null) => drop(into.insert(key, old)),
            (Some(Node::List(old)), Node::List(new)) if is_replaced(path) => {
                drop(old);
                into.insert(key, Node::List(new));
            }
            (Some(old), new) if is_keyed(path) => {
                let mut all = keyed(old);
                all.extend(keyed(new));
                into.insert(key, Node::Map(all));
            }
            (Some(Node::List(mut old)), Node::List(new)) => {
                old.extend(new);
                into.insert(key, Node::List(old));
            }
            (_, new) => drop(into.insert(key, new)),
        }
        path.pop();
    }
}

/// What is laid over does not ask how it came there.
fn bare(node: Node) -> Node {
    match node {
        Node::Override(node) => *node,
        node => node,
    }
}

/// Lists of words that are one thing.
fn is_replaced(path: &[String]) -> bool {
    match path {
        [services, _, key] if services == "services" => ["command", "entrypoint"].contains(&key.as_str()),
        [services, _, check, test] => services == "services" && check == "healthcheck" && test == "test",
        _ => false,
    }
}

/// What may be a mapping or a list of `KEY=value`.
fn is_keyed(path: &[String]) -> bool {
    matches!(path, [services, _, key] if services == "services" && ["environment", "labels", "annotations", "sysctls"].contains(&key.as_str()))
}

fn keyed(node: Node) -> Map {
    match node {
        Node::Map(map) => map,
        Node::List(list) => {
            let pair = |line: String| match line.split_once('=') {
                Some((key, value)) => (key.to_owned(), Node::Text(value.to_owned())),
                None => (line, Node::Null),
            };
            list.iter().filter_map(Node::text).map(pair).collect()
        }
        _ => Map::new(),
    }
}
