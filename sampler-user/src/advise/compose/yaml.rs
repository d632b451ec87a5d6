//! YAML with the tags of Compose: anchors, aliases and merge keys are resolved within bounds, `!reset` and `!override` are kept.

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::Value;

/// A mapping.
pub type Map = BTreeMap<String, Node>;

/// A part of a document. Numbers stay as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing.
    Null,
    /// A plain `true` or `false`.
    Bool(bool),
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
    /// `!reset`: what is below goes away.
    Reset,
    /// `!override`: what is below is replaced, not merged.
    Override(Box<Node>),
}

impl Node {
    /// A mapping's content.
    pub fn map(&self) -> Option<&Map> {
        match self {
            Node::Map(map) => Some(map),
            Node::Override(node) => node.map(),
            _ => None,
        }
    }

    /// A scalar as text.
    pub fn text(&self) -> Option<String> {
        match self {
            Node::Text(text) => Some(text.clone()),
            Node::Bool(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    /// Texts of a scalar or of a list of scalars.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Node::List(list) => list.iter().filter_map(Node::text).collect(),
            node => node.text().into_iter().collect(),
        }
    }

    /// The same as JSON, without what is reset.
    pub fn value(&self) -> Value {
        match self {
            Node::Null | Node::Reset => Value::Null,
            Node::Bool(truth) => Value::Bool(*truth),
            Node::Text(text) => Value::String(text.clone()),
            Node::List(list) => list.iter().filter(|node| **node != Node::Reset).map(Node::value).collect(),
            Node::Map(map) => {
                let kept = map.iter().filter(|(_, node)| **node != Node::Reset);
                kept.map(|(key, node)| (key.clone(), node.value())).collect()
            }
            Node::Override(node) => node.value(),
        }
    }
}

/// What the documents of a text may hold, bytes; aliases count each time, so that aliases of aliases stay bounded.
const MOST: usize = 32 << 20;
/// What a node costs beside its text, bytes.
const COST: usize = 64;
/// How deep it may be nested.
const DEPTH: usize = 100;

/// The documents of a text.
pub fn documents(text: &str) -> Result<Vec<Node>, String> {
    let mut builder = Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), spent: 0 };
    let mut documents = Vec::new();
    while let Some(event) = builder.next()? {
        match event {
            Event::StreamStart | Event::DocumentEnd => {}
            // Anchors are of one document.
            Event::DocumentStart(..) => builder.anchors.clear(),
            Event::StreamEnd => break,
            event => documents.push(builder.node(event, 0)?),
        }
    }
    Ok(documents)
}

struct Builder<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    spent: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<Event<'a>>, String> {
        self.parser
            .next_event()
            .transpose()
            .map(|event| event.map(|(event, _)| event))
            .map_err(|error| error.to_string())
    }

    fn spend(&mut self, cost: usize) -> Result<(), String> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > MOST { Err("its aliases make it too large".into()) } else { Ok(()) }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, String> {
        if depth > DEPTH {
            return Err("it is nested too deep".into());
        }
        let before = self.spent;
        let (node, anchor, tag) = match event {
            Event::Alias(id) => {
                let (node, cost) = self.anchors.get(&id).cloned().ok_or("an alias stands inside of its own anchor")?;
                self.spend(cost)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(COST + text.len())?;
                let is_text = style != ScalarStyle::Plain || tag.as_deref().is_some_and(|tag| is(tag, "str"));
                (if is_text { Node::Text(text.into_owned()) } else { plain(&text) }, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.spend(COST)?;
                let mut list = Vec::new();
                loop {
                    match self.next()?.ok_or("it ends in the middle")? {
                        Event::SequenceEnd => break,
                        event => list.push(self.node(event, depth + 1)?),
                    }
                }
                (Node::List(list), anchor, tag)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.spend(COST)?;
                (Node::Map(self.mapping(depth)?), anchor, tag)
            }
            other => return Err(format!("unexpected {other:?}")),
        };
        let node = match tag.as_deref() {
            Some(tag) if is(tag, "reset") => Node::Reset,
            Some(tag) if is(tag, "override") => Node::Override(Box::new(node)),
            _ => node,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.spent - before));
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<Map, String> {
        let (mut map, mut merged) = (Map::new(), Vec::new());
        loop {
            let (key, is_merge) = match self.next()?.ok_or("it ends in the middle")? {
                Event::MappingEnd => break,
                event => {
                    let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
                    (self.node(event, depth + 1)?, is_merge)
                }
            };
            let event = self.next()?.ok_or("it ends in the middle")?;
            let value = self.node(event, depth + 1)?;
            if is_merge {
                merged.push(value);
                continue;
            }
            let key = match key {
                Node::Null => "null".to_owned(),
                key => key.text().ok_or("a key is no text")?,
            };
            if map.contains_key(&key) {
                return Err(format!("the key {key} is there twice in one mapping"));
            }
            map.insert(key, value);
        }
        for node in merged {
            let all = match node {
                Node::List(list) => list,
                node => vec![node],
            };
            // What the mapping says itself counts, then what is merged first.
            for node in all {
                let Node::Map(from) = node else { return Err("<< takes a mapping or a list of mappings".into()) };
                for (key, value) in from {
                    // A reset takes away what was there before, not what is merged in beside it.
                    let value = match map.get(&key) {
                        Some(Node::Reset) => Node::Override(Box::new(value)),
                        Some(_) => continue,
                        None => value,
                    };
                    map.insert(key, value);
                }
            }
        }
        Ok(map)
    }
}

fn is(tag: &Tag, name: &str) -> bool {
    tag.suffix() == name
}

fn plain(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Bool(true),
        "false" | "False" | "FALSE" => Node::Bool(false),
        text => Node::Text(text.to_owned()),
    }
}
