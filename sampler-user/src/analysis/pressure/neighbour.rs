//! Who took the memory when a cgroup is under pressure without having hit a limit of its own.

use std::collections::BTreeMap;

use crate::analysis::leak::signal::Signal;
use crate::analysis::leak::track::Track;
use crate::analysis::pressure::episode::{Cause, Episode, EpisodeKind};
use crate::model::paths::{is_below, parent};

/// Growth is looked for from this long before an episode on, microseconds.
const BEFORE_US: i64 = 60_000_000;
/// Less growth than this pushes nobody out, bytes.
const LEAST: f64 = 16.0 * 1024.0 * 1024.0;

/// Names the cause of each episode that the cgroup's own limits do not explain: of the nearest circle (those with the same
/// parent, then with the same grandparent, and so on) in which somebody grew, the one with more than half of all growth. `tracks`
/// are those of one host, by path.
pub fn attribute<'a>(episodes: impl IntoIterator<Item = &'a mut Episode>, tracks: &BTreeMap<&str, &Track>) {
    for episode in episodes {
        let suffers = matches!(
            episode.kind,
            EpisodeKind::Stall | EpisodeKind::Refaults | EpisodeKind::Thrashing | EpisodeKind::SwapStorm
        );
        if !suffers || episode.limit_hits > 0 || episode.throttles > 0 {
            continue;
        }
        let (from_us, to_us) = (episode.time_us.0 - BEFORE_US, episode.time_us.1);
        let own = episode.path.clone();
        let mut circle = parent(&own);
        while let Some(root) = circle {
            let mut grown: Vec<(&str, f64)> = tracks
                .iter()
                .filter(|(path, _)| parent(path) == Some(root) && !is_below(&own, path))
                .filter_map(|(path, track)| Some((*path, growth(track, from_us, to_us)?)))
                .filter(|(_, growth)| *growth > 0.0)
                .collect();
            grown.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
            let all: f64 = grown.iter().map(|(_, growth)| growth).sum();
            if let Some((path, growth)) = grown.first().filter(|(_, growth)| *growth >= LEAST && *growth > 0.5 * all) {
                episode.cause =
                    Some(Cause { path: (*path).to_owned(), grew_bytes: *growth as u64, share: growth / all });
                break;
            }
            circle = parent(root);
        }
    }
}

fn growth(track: &Track, from_us: i64, to_us: i64) -> Option<f64> {
    let levels = track.lives.iter().flat_map(|life| {
        let blocks = &life.blocks;
        let begin = blocks.begin_us;
        let timed = blocks.signal(Signal::Current as usize).iter().enumerate();
        timed.filter_map(move |(i, block)| Some((begin + i as i64 * blocks.width_us, block.mean()?)))
    });
    let seen: Vec<(i64, f64)> = levels.filter(|(time, _)| *time <= to_us).collect();
    let last = seen.last()?.1;
    // One that was gone before did not grow; one that did not exist grew by all that it has.
    let before = seen.iter().rev().find(|(time, _)| *time <= from_us).map_or(0.0, |(_, level)| *level);
    Some(last - before)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fields::{FieldId, Table};
    use crate::model::recording::{Series, Subject};
    use crate::model::sample::Row;

    fn track(path: &str, level: impl Fn(i64) -> u64) -> Track {
        seconds(path, 0, 300, level)
    }

    #[test]
    fn the_neighbour_that_grew_is_named_and_a_limit_of_ones_own_blames_nobody() {
        let hog = track("/pod/hog", |t| if t < 150 { 10 } else { 10 + 5 * (t as u64 - 150).min(60) });
        let calm = track("/pod/calm", |t| 100 + t as u64 / 60);
        let far = track("/other", |t| 10 * t as u64);
        let victim = track("/pod/victim", |_| 50);
        let tracks =
            BTreeMap::from([("/pod/hog", &hog), ("/pod/calm", &calm), ("/other", &far), ("/pod/victim", &victim)]);
        let mut episodes = vec![Episode::new("/pod/victim", EpisodeKind::Stall, (180_000_000, 220_000_000)); 2];
        episodes[1].limit_hits = 3;
        attribute(&mut episodes, &tracks);
        let cause = episodes[0].cause.as_ref().unwrap();
        assert_eq!((cause.path.as_str(), cause.grew_bytes), ("/pod/hog", 300 << 20));
        assert!(cause.share > 0.95 && cause.share < 1.0, "{}", cause.share);
        assert_eq!(episodes[1].cause, None);
        // Before the neighbour grew, the nearest that did is asked for further out.
        let mut early = vec![Episode::new("/pod/victim", EpisodeKind::Stall, (100_000_000, 120_000_000))];
        attribute(&mut early, &tracks);
        assert_eq!(early[0].cause.as_ref().map(|c| c.path.as_str()), Some("/other"));
    }

    fn seconds(path: &str, from: i64, to: i64, level: impl Fn(i64) -> u64) -> Track {
        let subject = Subject { cgroup: path.into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for second in from..to {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), level(second) << 20);
            series.push(second * 1_000_000, &row);
        }
        let mut track = Track::default();
        track.feed(&series);
        track
    }

    #[test]
    fn who_is_no_neighbour_or_no_cause_is_not_blamed() {
        let grows = |by: u64| move |t: i64| 50 + by * (t as u64).min(200) / 200;
        let victim = seconds("/pod/victim", 0, 300, |t| grows(300)(t));
        let blamed = |others: &[(&str, Track)]| {
            let tracks: BTreeMap<&str, &Track> =
                others.iter().map(|(path, track)| (*path, track)).chain([("/pod/victim", &victim)]).collect();
            let mut episodes = vec![Episode::new("/pod/victim", EpisodeKind::Stall, (200_000_000, 220_000_000)); 2];
            episodes[1].throttles = 5;
            attribute(&mut episodes, &tracks);
            assert_eq!(episodes[1].cause, None, "memory.high of its own");
            episodes.remove(0).cause.map(|cause| (cause.path, cause.grew_bytes >> 20))
        };
        let of = |path: &'static str, from: i64, to: i64, by: u64| (path, seconds(path, from, to, grows(by)));
        assert_eq!(blamed(&[of("/pod", 0, 300, 300)]), None, "what it is in grows with it");
        assert_eq!(blamed(&[of("/pod/a", 0, 300, 100), of("/pod/b", 0, 300, 100)]), None, "neither has more than half");
        assert_eq!(blamed(&[of("/pod/gone", 0, 120, 300)]), None, "it was gone before");
        assert_eq!(blamed(&[of("/pod/new", 190, 300, 0)]), Some(("/pod/new".into(), 50)), "all of it is new");
    }
}
