//! The JVM: the heap is a part; metaspace, threads, code and buffers come on top. Without a setting the heap is a quarter of the
//! limit (`-XX:MaxRAMPercentage`, 25), which wastes it; one of all of it is killed.

use crate::advise::server::seen::{Seen, Server, Setting, size};

pub const SERVER: Server = Server {
    name: "JVM",
    is: |seen| {
        seen.is_image(&[
            "openjdk",
            "eclipse-temurin",
            "amazoncorretto",
            "tomcat",
            "elasticsearch",
            "opensearch",
            "kafka",
        ]) || seen.runs(&["java"])
            || VARIABLES.iter().any(|key| seen.environment.contains_key(*key))
    },
    settings,
};

/// Where options are given.
const VARIABLES: [&str; 5] = ["JAVA_TOOL_OPTIONS", "JAVA_OPTS", "ES_JAVA_OPTS", "KAFKA_HEAP_OPTS", "CATALINA_OPTS"];
const PERCENT: u64 = 70;
/// More leaves too little for the rest.
const MOST: f64 = 0.8;

fn settings(seen: &Seen) -> Vec<Setting> {
    let variables = VARIABLES.iter().filter_map(|key| seen.variable(key));
    let options: Vec<String> = variables
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .chain(seen.command.iter().cloned())
        .collect();
    // The last one counts.
    let heap = options.iter().rev().find_map(|word| word.strip_prefix("-Xmx")).map(str::to_owned);
    let percent = options.iter().rev().find_map(|word| word.strip_prefix("-XX:MaxRAMPercentage=")).map(str::to_owned);
    let most = seen.limit as f64 * MOST;
    let is_too_much = match (&heap, &percent) {
        (Some(heap), _) => size(heap).is_some_and(|bytes| bytes as f64 > most),
        (None, Some(percent)) => percent.parse::<f64>().is_ok_and(|percent| percent > 100.0 * MOST),
        (None, None) => true,
    };
    vec![Setting {
        key: "-XX:MaxRAMPercentage".into(),
        seen: heap.map(|heap| format!("-Xmx{heap}")).or(percent),
        value: PERCENT.to_string(),
        line: format!("environment: JAVA_TOOL_OPTIONS=-XX:MaxRAMPercentage={PERCENT}"),
        because: format!(
            "the heap is {PERCENT} % of the limit, the rest is metaspace, threads and buffers; it follows the limit, which -Xmx does not"
        ),
        out_of_proportion: is_too_much,
    }]
}
