//! Many short lives as one: the cgroups of a workload have other ids after each restart and on each host, so that a leak which is
//! slower than the restarts shows in none of them alone.

use serde::Serialize;

use crate::analysis::chance::at_least;
use crate::analysis::leak::blocks::Block;
use crate::analysis::leak::detectors::Class;
use crate::analysis::leak::linear::median;
use crate::analysis::leak::signal::Signal;
use crate::analysis::leak::track::Life;
use crate::analysis::lives::Loop;
use crate::model::identity::Identity;
use crate::model::units::bytes;

/// Words that a runtime puts around an id.
const RUNTIMES: [&str; 8] = ["docker", "cri", "containerd", "crio", "libpod", "nerdctl", "podman", "scope"];
/// Fewest hexadecimal digits of an id.
const ID: usize = 12;
/// Fewest blocks of a life.
const LEAST_BLOCKS: usize = 16;
/// Growth that matters: bytes, and a part of the level.
const LEAST_BYTES: f64 = 1024.0 * 1024.0;
const LEAST_PART: f64 = 0.015;
/// Part of the lives that have to rise, and the probability that so many do by chance.
const MOST_RISE: f64 = 0.8;
const BY_CHANCE: f64 = 0.05;

/// What a cgroup is called without what is another at each start: by the names that its runtime gave, or else by its path.
/// `None` when nothing but ids is left.
///
/// ```
/// use sampler::analysis::workloads::workload;
/// use sampler::model::identity::Identity;
///
/// let web = Identity {
///     project: Some("shop".into()),
///     service: Some("web".into()),
///     ..Identity::container("docker", "c401884006")
/// };
/// assert_eq!(workload("/docker/c401884006", Some(&web)).as_deref(), Some("shop/web"));
/// assert_eq!(workload("/system.slice/nginx.service", None).as_deref(), Some("/system.slice/nginx.service"));
/// ```
pub fn workload(path: &str, who: Option<&Identity>) -> Option<String> {
    who.and_then(by_name).or_else(|| by_path(path))
}

/// What a cgroup is called among the lives of its workload: as [`workload`] has it, or else by its path, which may be made again.
pub fn key(path: &str, who: Option<&Identity>) -> String {
    workload(path, who).unwrap_or_else(|| path.to_owned())
}

/// A container: `namespace/pod template/container` of Kubernetes, `project/service` of Compose, `service` of a swarm, or the name that
/// the user gave it. Such a name does not begin with a slash, a path does.
fn by_name(who: &Identity) -> Option<String> {
    who.container.as_ref()?;
    let own = match (&who.pod, &who.project, &who.service) {
        (Some(pod), _, _) => {
            let parts = [who.namespace.clone(), Some(mask(pod)), who.name.clone()];
            parts.into_iter().flatten().collect::<Vec<_>>().join("/")
        }
        (None, Some(project), Some(service)) => format!("{project}/{service}"),
        _ => match (who.labels.get("com.docker.swarm.service.name"), &who.name, &who.image) {
            (Some(service), ..) => service.clone(),
            // Of `docker run --rm` in a loop only the image is the same.
            (None, Some(name), Some(image)) if is_drawn(name) => format!("{image} (no name)"),
            (None, name, _) => name.clone()?,
        },
    };
    let inner = who.inner.iter().flat_map(|inner| inner.split('/')).map(mask).collect::<Vec<_>>().join("/");
    Some(if inner.is_empty() { own } else { format!("{own}:{inner}") })
}

/// Words that Docker draws the first half of a name from, where the user gave none.
const DRAWN: &str = "admiring adoring affectionate agitated amazing angry awesome beautiful blissful bold boring brave busy charming \
    clever compassionate competent condescending confident cool cranky crazy dazzling determined distracted dreamy eager ecstatic \
    elastic elated elegant eloquent epic exciting fervent festive flamboyant focused friendly frosty funny gallant gifted goofy \
    gracious great happy hardcore heuristic hopeful hungry infallible inspiring intelligent interesting jolly jovial keen kind \
    laughing loving lucid magical modest musing mystifying naughty nervous nice nifty nostalgic objective optimistic peaceful \
    pedantic pensive practical priceless quirky quizzical recursing relaxed reverent romantic sad serene sharp silly sleepy \
    stoic strange stupefied suspicious sweet tender thirsty trusting unruffled upbeat vibrant vigilant vigorous wizardly \
    wonderful xenodochial youthful zealous zen";

/// Whether Docker drew a name: an adjective and a scientist.
fn is_drawn(name: &str) -> bool {
    let Some((adjective, who)) = name.split_once('_') else { return false };
    let who = who.trim_end_matches(|c: char| c.is_ascii_digit());
    who.len() > 2
        && who.bytes().all(|b| b.is_ascii_lowercase())
        && DRAWN.split_whitespace().any(|word| word == adjective)
}

fn by_path(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let masked: Vec<String> = parts.iter().map(|part| mask(part)).collect();
    if masked.last().is_some_and(|last| has_name(last)) {
        return Some(format!("/{}", masked.join("/")));
    }
    // A container that was started again in the same pod: the pod names it.
    let (pod, above) = parts.split_last().and_then(|(_, above)| above.split_last())?;
    let is_pod = pod.contains("pod") && mask(pod) != *pod;
    is_pod.then(|| format!("/{}", above.iter().copied().chain([*pod, "*"]).collect::<Vec<_>>().join("/")))
}

/// Whether there is a word that no runtime wrote.
fn has_name(part: &str) -> bool {
    let mut words = part.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.any(|word| !RUNTIMES.contains(&word) && word != "pod")
}

/// Ids, hashes and numbers become `*`.
fn mask(part: &str) -> String {
    let (name, suffix) = match part.rsplit_once('.') {
        Some((name, suffix @ ("scope" | "service" | "slice"))) => (name, format!(".{suffix}")),
        _ => (part, String::new()),
    };
    let mut words: Vec<String> =
        name.split('-').map(|word| if is_id(word) { "*".into() } else { word.into() }).collect();
    // A pod of a deployment: name, hash of the template, five random characters.
    if let [.., hash, random] = &mut words[..]
        && words_of_pod(hash, random)
    {
        (*hash, *random) = ("*".into(), "*".into());
    }
    words.dedup_by(|a, b| a == "*" && b == "*");
    format!("{}{suffix}", words.join("-"))
}

fn words_of_pod(hash: &str, random: &str) -> bool {
    // Kubernetes draws from letters and digits without vowels, 0, 1 and 3.
    let drawn = |word: &str| word.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
    (hash == "*" || (6..=10).contains(&hash.len()) && drawn(hash)) && random.len() == 5 && drawn(random)
}

/// A number, or enough hexadecimal digits, after at most one letter or the word `pod`.
fn is_id(word: &str) -> bool {
    let bare = word.strip_prefix("pod").unwrap_or(word).trim_start_matches('@');
    let hex = |word: &str| {
        let digits = word.bytes().filter(|b| *b != b'_').count();
        digits >= ID && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_')
    };
    let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let behind = bare.char_indices().nth(1).map_or("", |(at, _)| &bare[at..]);
    let letter = bare.starts_with(|c: char| c.is_ascii_lowercase());
    number(bare) || hex(bare) || letter && (number(behind) || hex(behind))
}

/// How one life went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// From its second quarter to its last, bytes: the first is a start.
    pub growth: f64,
    /// In its second quarter, bytes.
    pub level: f64,
    /// Its length, seconds.
    pub span_s: f64,
}

/// The course of a life; `None` of one that is too short.
pub fn course(life: &Life) -> Option<Course> {
    let seen: Vec<f64> = life.blocks.signal(Signal::Footprint as usize).iter().filter_map(Block::mean).collect();
    let n = seen.len();
    if n < LEAST_BLOCKS {
        return None;
    }
    let (level, last) = (median(&seen[n / 4..n / 2]), median(&seen[3 * n / 4..]));
    Some(Course { growth: last - level, level, span_s: (life.to_us - life.from_us) as f64 / 1e6 })
}

impl Course {
    /// Whether it grew by what matters.
    pub fn rises(&self) -> bool {
        self.growth > LEAST_BYTES.max(LEAST_PART * self.level)
    }

    /// Bytes a second; the middles of the two quarters are half of the life apart.
    pub fn pace(&self) -> f64 {
        self.growth / (0.5 * self.span_s).max(1e-9)
    }
}

/// What the lives of a workload say together.
#[derive(Clone, Debug, Serialize)]
pub struct Workload {
    /// Its name: that of a Compose service, of a pod's template or of a container, else a path; with `*` for what changes.
    pub workload: String,
    /// Hosts it was seen on.
    pub hosts: Vec<String>,
    /// Lives that are long enough to say something.
    pub lives: usize,
    /// Of these, how many rise.
    pub rising: usize,
    /// `leak`, `steady`, or `undetermined` with too few lives.
    pub verdict: Class,
    /// Median of the paces of those that rise.
    pub rate_bytes_per_s: Option<f64>,
    /// Why, in plain words.
    pub evidence: Vec<String>,
}

/// Judges a workload of several lives; `None` of a single one, which speaks for itself.
///
/// `restarts`: what the lives that kills ended say; they are distinguished better there, and short ones count.
pub fn roll_up(name: &str, lives: &[(String, Course)], restarts: Option<&Loop>) -> Option<Workload> {
    let n = lives.len();
    let restarts = restarts.filter(|said| said.lives >= n.min(2) && (said.brief || said.course.is_some()));
    if n < 2 && restarts.is_none() {
        return None;
    }
    let paces: Vec<f64> = lives.iter().filter(|(_, course)| course.rises()).map(|(_, c)| c.pace()).collect();
    let k = paces.len();
    let chance = at_least(k, n, 0.5);
    let verdict = if k as f64 >= MOST_RISE * n as f64 {
        if chance <= BY_CHANCE { Class::Leak } else { Class::Undetermined }
    } else {
        Class::Steady
    };
    let rate = (k > 0).then(|| median(&paces));
    let mut hosts: Vec<String> = lives.iter().map(|(host, _)| host.clone()).collect();
    hosts.sort();
    hosts.dedup();
    let mut evidence = vec![format!("{k} of {n} lives on {} hosts rise after their start", hosts.len())];
    if let (Class::Leak, Some(rate)) = (verdict, rate) {
        evidence.push(format!(
            "by chance so many would in {:.1} % of the cases; {} a minute in the median",
            100.0 * chance,
            bytes((60.0 * rate) as u64)
        ));
    }
    if let Some(said) = restarts {
        let (verdict, rate) = match said.leaks() {
            true => (Class::Leak, said.rate_bytes_per_s),
            false => (Class::Undetermined, None),
        };
        let (rising, evidence) =
            (if said.leaks() { said.lives } else { k.min(said.lives) }, vec![said.words(), said.evidence()]);
        return Some(Workload {
            workload: name.into(),
            hosts,
            lives: said.lives,
            rising,
            verdict,
            rate_bytes_per_s: rate,
            evidence,
        });
    }
    Some(Workload { workload: name.into(), hosts, lives: n, rising: k, verdict, rate_bytes_per_s: rate, evidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_masked_and_names_stay() {
        let id = "0123456789abcdef".repeat(4);
        let uid = "12345678_1234_1234_1234_123456789abc";
        for (path, want) in [
            ("/system.slice/nginx.service".to_owned(), Some("/system.slice/nginx.service")),
            ("/user.slice/session-12.scope".into(), Some("/user.slice/session-*.scope")),
            (format!("/run-r{}.scope", &id[..32]), Some("/run-*.scope")),
            ("/prod/web-7d4b9c68f5-x2x9z/app".into(), Some("/prod/web-*/app")),
            ("/prod/db-0/db".into(), Some("/prod/db-*/db")),
            (format!("/system.slice/docker-{id}.scope"), None),
            (format!("/docker/{id}"), None),
            (
                format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{id}.scope"),
                Some("/kubepods.slice/kubepods-pod12345678_1234_1234_1234_123456789abc.slice/*"),
            ),
        ] {
            assert_eq!(workload(&path, None).as_deref(), want, "{path}");
        }
        assert_ne!(by_path("/a/web"), by_path("/a/api"));
    }

    #[test]
    fn a_container_is_what_its_runtime_calls_it_and_not_its_id() {
        let id = "0123456789abcdef".repeat(4);
        let path = format!("/docker/{id}");
        let container = || Identity::container("docker", &id);
        let text = |text: &str| Some(text.to_owned());
        let service =
            |name: &str| Identity { name: text(name), project: text("shop"), service: text("web"), ..container() };
        let swarm = |task: &str| Identity {
            name: text(task),
            labels: [("com.docker.swarm.service.name".to_owned(), "shop_web".to_owned())].into(),
            ..container()
        };
        let pod = |pod: &str| Identity { namespace: text("prod"), pod: text(pod), name: text("app"), ..container() };
        for (who, want) in [
            (service("shop-web-1"), "shop/web"),
            (service("shop-web-2"), "shop/web"),
            (Identity { inner: text("session-12.scope"), ..service("shop-web-1") }, "shop/web:session-*.scope"),
            (swarm("shop_web.1.abcdefghijklmnopqrstuvwxy"), "shop_web"),
            (pod("web-7d4b9c68f5-x2x9z"), "prod/web-*/app"),
            (pod("db-0"), "prod/db-*/app"),
            (Identity { name: text("redis"), ..container() }, "redis"),
            (Identity { name: text("goofy_tesla7"), image: text("job:2"), ..container() }, "job:2 (no name)"),
            (Identity { name: text("redis_cache"), image: text("redis:7"), ..container() }, "redis_cache"),
            (Identity { name: text("goofy_tesla"), ..container() }, "goofy_tesla"),
        ] {
            assert_eq!(workload(&path, Some(&who)).as_deref(), Some(want), "{who:?}");
        }
        assert_eq!(workload(&path, Some(&container())), None, "nobody gave a name");
        let unit = Identity::named("systemd", "nginx.service");
        assert_eq!(
            workload("/system.slice/nginx.service", Some(&unit)).as_deref(),
            Some("/system.slice/nginx.service")
        );
    }

    fn course(growth_mib: f64) -> (String, Course) {
        ("h".into(), Course { growth: growth_mib * 1048576.0, level: 100.0 * 1048576.0, span_s: 7200.0 })
    }

    #[test]
    fn a_leak_slower_than_the_restarts_shows_in_all_lives_together() {
        let of = |growths: &[f64]| roll_up("/w", &growths.iter().map(|g| course(*g)).collect::<Vec<_>>(), None);
        let leak = of(&[4.0, 5.0, 3.5, 6.0, 4.2]).unwrap();
        assert_eq!((leak.verdict, leak.lives, leak.rising), (Class::Leak, 5, 5));
        assert!((leak.rate_bytes_per_s.unwrap() - 4.2 * 1048576.0 / 3600.0).abs() < 1.0);
        assert_eq!(of(&[4.0, 5.0, 3.0]).unwrap().verdict, Class::Undetermined, "three may be chance");
        assert_eq!(of(&[4.0, -5.0, 3.5, -6.0, 0.1]).unwrap().verdict, Class::Steady);
        assert!(of(&[4.0]).is_none());
    }

    #[test]
    fn a_start_is_no_growth_and_a_short_life_says_nothing() {
        use crate::analysis::leak::track::Track;
        use crate::model::fields::{FieldId, Table};
        use crate::model::recording::{Series, Subject};
        use crate::model::sample::Row;

        let life = |seconds: i64, mib: &dyn Fn(i64) -> i64| {
            let subject = Subject { cgroup: "/a".into(), id: 1, process: None };
            let mut series = Series::new(std::sync::Arc::new(subject), Table::Samples);
            for second in 0..seconds {
                let mut row = Row::new(1);
                row.put(FieldId::Current.field(), (mib(second) as u64) << 20);
                series.push(second * 1_000_000, &row);
            }
            let mut track = Track::default();
            track.feed(&series);
            super::course(&track.lives[0])
        };
        let started = life(100, &|t| 10 + 4 * t.min(20)).unwrap();
        assert!(!started.rises() && started.growth == 0.0, "{started:?}");
        let grows = life(100, &|t| 10 + t).unwrap();
        assert!(grows.rises() && (grows.pace() / 1048576.0 - 1.0).abs() < 0.05, "{grows:?}");
        assert_eq!(life(LEAST_BLOCKS as i64 - 1, &|t| 10 + t), None);
    }

    #[test]
    fn most_lives_have_to_rise() {
        let of = |rising: usize, all: usize| {
            let lives: Vec<_> = (0..all).map(|n| course(if n < rising { 5.0 } else { 0.0 })).collect();
            roll_up("/w", &lives, None).unwrap()
        };
        assert_eq!((of(70, 100).verdict, of(80, 100).verdict), (Class::Steady, Class::Leak));
        assert_eq!(of(80, 100).hosts, ["h"]);
    }
}
