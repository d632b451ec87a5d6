//! Series as text: what `promtool query` prints, and the exposition format of a scrape.

use std::io::Read;

use crate::reading::import::clock::Clock;
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::labels::{Labels, parse};
use crate::reading::import::prometheus::Reader;
use crate::reading::import::text::Lines;

/// Reads samples, one a line.
pub fn read(lines: &mut Lines<impl Read>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("prometheus text");
    let (mut reader, mut clock) = (Reader::default(), Clock::default());
    // `promtool query range` prints the labels once, then a line a value.
    let mut of: Option<Labels> = None;
    while let Some(line) = lines.next_line()? {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((value, time)) =
            line.split_once("@[").and_then(|(v, t)| Some((v.trim(), t.trim_end().strip_suffix(']')?)))
        {
            let (labels, value) = match value.rsplit_once("=>") {
                Some((series, value)) => (parse(series.trim()).map(|(labels, _)| labels), value.trim()),
                None => (of.clone(), value),
            };
            let seconds: Option<f64> = time.parse().ok();
            match (labels, seconds, value.parse::<f64>()) {
                (Some(labels), Some(seconds), Ok(value)) => {
                    reader.series(&labels, &[(micros(seconds), value)], intake)?
                }
                _ => intake.notes.unread_lines += 1,
            }
            continue;
        }
        if let Some(series) = line.strip_suffix("=>") {
            of = parse(series.trim()).map(|(labels, _)| labels);
            continue;
        }
        if let Some((stamp, used)) = crate::reading::import::time::prefix(line, intake.options.day_first)
            && line[used..].trim().is_empty()
        {
            clock.set(stamp, intake)?;
            clock.next_sample();
            continue;
        }
        let Some((labels, rest)) = parse(line) else {
            intake.notes.unread_lines += 1;
            continue;
        };
        let mut words = rest.split_whitespace();
        let Some(value) = words.next().and_then(|word| word.parse::<f64>().ok()) else {
            intake.notes.unread_lines += 1;
            continue;
        };
        // Milliseconds in Prometheus' own format, seconds in OpenMetrics.
        let time = words.next().and_then(|word| word.parse::<f64>().ok());
        let time_us = match time.and_then(|time| Some((time, crate::reading::import::time::Epoch::of(time)?))) {
            Some((time, unit)) => (time * (1e6 / unit.per_second().0 as f64)).round() as i64,
            None => clock.now(intake.options)?,
        };
        reader.series(&labels, &[(time_us, value)], intake)?;
    }
    Ok(())
}

fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn series_are_parsed_with_escapes() {
        let (labels, rest) = parse("container_memory_rss{id=\"/a\", name=\"w\\\"x\\\\\",} 12 1749800000829").unwrap();
        let pairs: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("__name__", "container_memory_rss"), ("id", "/a"), ("name", "w\"x\\")]);
        assert_eq!(rest, " 12 1749800000829");
        assert_eq!(parse("{} => 5").unwrap().1, " => 5");
        assert!(parse("{a=\"b\" 5").is_none() && parse("5 6").is_none());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[a-z_{}=\",\\\\ 0-9é]{0,40}") {
            let _ = parse(&text);
        }
    }
}
