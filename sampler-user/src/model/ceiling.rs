//! The ceiling of a runtime or a server, by its command line and its environment.

use crate::model::identity::cut;
use crate::model::own_memory::Manager;
use crate::model::units::parse_bytes;

/// A ceiling that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Whose it is.
    pub manager: Manager,
    /// Bytes; absent of a runtime that was given none.
    pub bytes: Option<u64>,
    /// The words that set it; untrusted.
    pub set_by: Option<String>,
    /// Whether nothing is collected below it.
    pub uncollected: bool,
}

/// Options of `java` whose value is the next word.
const JAVA_TAKES: [&str; 8] =
    ["-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-opens", "--add-exports"];
/// Options of `node` whose value is the next word.
const NODE_TAKES: [&str; 6] = ["-r", "--require", "--import", "-C", "--conditions", "--env-file"];
/// What memcached holds without `-m`, bytes.
const MEMCACHED: u64 = 64 << 20;

impl Ceiling {
    /// The variables of the environment that are asked for.
    pub const VARIABLES: [&'static str; 6] =
        ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "NODE_OPTIONS", "GOMEMLIMIT", "GOGC"];

    /// The ceiling of a process, if it is of a kind that is known.
    ///
    /// ```
    /// use sampler::model::ceiling::Ceiling;
    ///
    /// let words = ["java", "-Xmx512m", "-jar", "shop.jar", "-Xmx9g"].map(String::from);
    /// let ceiling = Ceiling::of(&words, &|_| None).unwrap();
    /// assert_eq!((ceiling.bytes, ceiling.set_by.as_deref()), (Some(512 << 20), Some("-Xmx512m")));
    /// ```
    pub fn of(words: &[String], variable: &dyn Fn(&str) -> Option<String>) -> Option<Ceiling> {
        let program = words.first()?.rsplit('/').next()?;
        match program {
            "java" => Some(java(&words[1..], variable)),
            "node" | "nodejs" => Some(node(&words[1..], variable)),
            "memcached" => Some(memcached(&words[1..])),
            "mysqld" | "mariadbd" => {
                let keys = ["--innodb-buffer-pool-size=", "--innodb_buffer_pool_size="];
                let (word, value) = last(words, |word| keys.iter().find_map(|key| word.strip_prefix(key)))?;
                Some(Ceiling::set(Manager::Cache, parse_bytes(value).ok()?, word))
            }
            _ => go(variable),
        }
    }

    fn unset(manager: Manager) -> Ceiling {
        Ceiling { manager, bytes: None, set_by: None, uncollected: false }
    }

    fn set(manager: Manager, bytes: u64, by: &str) -> Ceiling {
        Ceiling { manager, bytes: Some(bytes), set_by: Some(cut(by)), uncollected: false }
    }
}

/// The last word of which something is left, with that.
fn last<'a>(words: &'a [String], value: impl Fn(&'a str) -> Option<&'a str>) -> Option<(&'a str, &'a str)> {
    words.iter().rev().find_map(|word| Some((word.as_str(), value(word)?)))
}

/// The options before the program that is run: what follows it is the program's own.
fn options(words: &[String], takes: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next().filter(|word| word.starts_with('-')) {
        if word == "-jar" || word == "--" {
            break;
        }
        if takes.contains(&word.as_str()) {
            words.next();
        }
        all.push(word.clone());
    }
    all
}

fn split(text: Option<String>) -> impl Iterator<Item = String> {
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn java(words: &[String], variable: &dyn Fn(&str) -> Option<String>) -> Ceiling {
    let before = split(variable("JAVA_TOOL_OPTIONS")).chain(split(variable("JDK_JAVA_OPTIONS")));
    let all: Vec<String> = before.chain(options(words, &JAVA_TAKES)).chain(split(variable("_JAVA_OPTIONS"))).collect();
    let keys = ["-Xmx", "-XX:MaxHeapSize="];
    let found = last(&all, |word| keys.iter().find_map(|key| word.strip_prefix(key)));
    match found.and_then(|(word, value)| Some((word, parse_bytes(value).ok()?))) {
        Some((word, bytes)) => Ceiling::set(Manager::Jvm, bytes, word),
        None => Ceiling::unset(Manager::Jvm),
    }
}

fn node(words: &[String], variable: &dyn Fn(&str) -> Option<String>) -> Ceiling {
    let all: Vec<String> = split(variable("NODE_OPTIONS")).chain(options(words, &NODE_TAKES)).collect();
    let keys = ["--max-old-space-size=", "--max_old_space_size="];
    let found = last(&all, |word| keys.iter().find_map(|key| word.strip_prefix(key)));
    let set = found.and_then(|(word, value)| Some(Ceiling::set(Manager::Node, mebibytes(value)?, word)));
    set.unwrap_or_else(|| Ceiling::unset(Manager::Node))
}

fn memcached(words: &[String]) -> Ceiling {
    let long = words.iter().rev().find_map(|word| Some((word.clone(), word.strip_prefix("--memory-limit=")?)));
    let short = words.iter().enumerate().rev().find_map(|(at, word)| {
        let value = word.strip_prefix("-m").filter(|_| !word.starts_with("--"))?;
        let value = if value.is_empty() { words.get(at + 1)? } else { value };
        Some((format!("-m {value}"), value))
    });
    let set = long.or(short).and_then(|(word, value)| Some(Ceiling::set(Manager::Cache, mebibytes(value)?, &word)));
    set.unwrap_or_else(|| Ceiling::set(Manager::Cache, MEMCACHED, "memcached's default of -m 64"))
}

fn mebibytes(text: &str) -> Option<u64> {
    text.parse::<u64>().ok()?.checked_mul(1 << 20)
}

/// Only with a memory limit: without one its heap has no ceiling.
fn go(variable: &dyn Fn(&str) -> Option<String>) -> Option<Ceiling> {
    let limit = variable("GOMEMLIMIT").filter(|limit| limit != "off")?;
    let off = variable("GOGC").is_some_and(|gogc| gogc == "off");
    let by = format!("GOMEMLIMIT={limit}{}", if off { " GOGC=off" } else { "" });
    Some(Ceiling { uncollected: off, ..Ceiling::set(Manager::Go, parse_bytes(&limit).ok()?, &by) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_last_counts_and_what_belongs_to_the_program_does_not() {
        let of = |line: &str, environment: &[(&str, &str)]| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let find = |key: &str| environment.iter().find(|(k, _)| *k == key).map(|(_, value)| (*value).to_owned());
            Ceiling::of(&words, &find)
        };
        let mib = |line: &str, environment: &[(&str, &str)]| {
            of(line, environment).map(|c| (c.manager, c.bytes.map(|bytes| bytes >> 20), c.uncollected))
        };
        use Manager::{Cache, Go, Jvm, Node};
        for (line, environment, want) in [
            ("/usr/bin/java -Xmx1g -cp a:b -Xmx512m Main", &[][..], Some((Jvm, Some(512), false))),
            ("java -cp x Main -Xmx64m", &[], Some((Jvm, None, false))),
            ("java -jar a.jar", &[("JAVA_TOOL_OPTIONS", "-Dx=y -Xmx300M")], Some((Jvm, Some(300), false))),
            ("java -Xmx1g -jar a.jar", &[("JAVA_TOOL_OPTIONS", "-Xmx300M")], Some((Jvm, Some(1024), false))),
            ("java -Xmx1g A", &[("_JAVA_OPTIONS", "-XX:MaxHeapSize=67108864")], Some((Jvm, Some(64), false))),
            ("java -Xmxlots A", &[], Some((Jvm, None, false))),
            ("node --max-old-space-size=300 a.js", &[], Some((Node, Some(300), false))),
            ("node -r hook --max_old_space_size=200 a.js --max-old-space-size=9", &[], Some((Node, Some(200), false))),
            ("node a.js", &[("NODE_OPTIONS", "--max-old-space-size=150")], Some((Node, Some(150), false))),
            ("node a.js", &[], Some((Node, None, false))),
            ("./server", &[("GOMEMLIMIT", "256MiB")], Some((Go, Some(256), false))),
            ("./server", &[("GOMEMLIMIT", "1GiB"), ("GOGC", "off")], Some((Go, Some(1024), true))),
            ("./server", &[("GOMEMLIMIT", "off"), ("GOGC", "off")], None),
            ("memcached -u nobody -m 128 -c 9", &[], Some((Cache, Some(128), false))),
            ("memcached -m128", &[], Some((Cache, Some(128), false))),
            ("memcached --memory-limit=32", &[], Some((Cache, Some(32), false))),
            ("memcached", &[], Some((Cache, Some(64), false))),
            ("mysqld --innodb-buffer-pool-size=256M", &[], Some((Cache, Some(256), false))),
            ("mysqld", &[], None),
            ("redis-server *:6379", &[], None),
        ] {
            assert_eq!(mib(line, environment), want, "{line} {environment:?}");
        }
        assert_eq!(Ceiling::of(&[], &|_| None), None);
        let by = of("java -Xmx512m\u{1b}[31m A", &[]).unwrap();
        assert_eq!((by.bytes, by.set_by), (None, None), "no size, no words of it");
    }
}
