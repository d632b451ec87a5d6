//! Grows without bound.

use crate::analysis::leak::detectors::evidence::{
    Class, Detector, Evidence, Finding, SURE, grows, is_relevant, part_that_grew, rising,
};
use crate::analysis::leak::facts::{Facts, only_grows};
use crate::analysis::leak::own_memory::JavaGrowth;
use crate::analysis::leak::signal::Signal;
use crate::analysis::leak::track::Life;
use crate::model::units::bytes;

pub const DETECTOR: Detector = Detector {
    name: "leak",
    about: "The floor of what cannot be reclaimed rises by more than chance (Perron and Yabu's trend test and batch means both, \
        1 %, over the whole, over its regimes or over the last one), it goes on rising in the second half, a curve that \
        flattens does not fit better, and the work does not explain it. In the first five minutes only what fills its limit soon.",
    detect,
};

/// A leak is distinguished from a start after this time, seconds.
const LEAST_S: f64 = 300.0;

pub(super) fn detect(evidence: &Evidence<'_>) -> Option<Finding> {
    let facts = evidence.footprint?;
    if !grows(facts) || !is_relevant(evidence, facts) {
        return None;
    }
    let z = rising(facts);
    let shape = &facts.shape;
    let beside = facts.residual;
    let goes_on = beside.is_some() || facts.half.z >= 1.0 || facts.last.1 >= 0.12 && facts.last.0.z >= SURE + 2.0;
    let bends = facts.bends() || beside.is_none() && facts.late < 0.33 && facts.slows > 1.0;
    // A series that fell deep shows its growth only since: it may be a batch that ends.
    let only_whole = beside.is_none() && facts.drawdown > 0.6 && facts.all.z < 4.0;
    if z < SURE || !goes_on || bends || only_whole {
        return None;
    }
    // All that has just been started grows for a while, unless it fills its limit meanwhile.
    let span_s = facts.span_s();
    let is_near = evidence.limit.is_some_and(|limit| limit - facts.level.1 < 2.0 * facts.growth());
    if span_s < LEAST_S && !is_near {
        let words =
            format!("it rose by {} in {span_s:.0} s, as all does after a start", bytes(facts.growth().max(0.0) as u64));
        return Some(Finding { needs_s: Some(LEAST_S - span_s), ..Finding::new(Class::Undetermined, [words]) });
    }
    let mut words = vec![format!(
        "what cannot be reclaimed rose by {} in {:.0} s, and the rise is no chance (z {z:.1})",
        bytes(facts.growth().max(0.0) as u64),
        facts.span_s()
    )];
    if facts.floor.period > 0.0 {
        words.push(format!("the floor of the sawtooth rises: {} collections did not give it back", facts.floor.resets));
    }
    words.push(if shape.saturates > 0.0 {
        format!("it went on at {:.0} % of its pace in the last quarter", 100.0 * facts.late)
    } else {
        "a curve that flattens fits worse than a line".into()
    });
    match beside {
        Some(beside) => words.push(format!(
            "it follows the work (correlation {:.2}), which leaves a rise of {} unexplained",
            beside.r,
            bytes(beside.growth.max(0.0) as u64)
        )),
        None if evidence.life.blocks.signal(Signal::Cpu as usize).is_empty()
            && evidence.life.blocks.signal(Signal::Faults as usize).is_empty() =>
        {
            words.push("no work was recorded: a growing load cannot be distinguished from a leak".into());
        }
        None => words.push("the work does not explain it".into()),
    }
    if let Some((part, growth)) = part_that_grew(evidence.life, facts.cut) {
        let split = !evidence.life.blocks.signal(Signal::Slab as usize).is_empty();
        words.push(format!("{} of it is {}", bytes(growth as u64), name(part, split)));
    }
    words.extend(tasks(evidence.life));
    words.extend(alive(evidence, facts));
    Some(Finding::new(Class::Leak, words))
}

/// What Java's collections leave, where that rises as well.
fn alive(evidence: &Evidence<'_>, facts: &Facts) -> Option<String> {
    let life = evidence.life;
    match evidence.own.java(facts.growth_beside_work(), life.from_us, life.to_us)? {
        JavaGrowth::Alive(first, last) => Some(format!(
            "what collections of Java's old generation leave rose from {} to {}",
            bytes(first),
            bytes(last)
        )),
        _ => None,
    }
}

/// Tasks that only become more: threads or processes that stay, or zombies that nobody waits for.
fn tasks(life: &Life) -> Option<String> {
    let tasks: Vec<f64> = life.blocks.means(Signal::Pids as usize).collect();
    let (first, last) = (tasks.first()?, tasks.last()?);
    (tasks.len() >= 8 && only_grows(&tasks)).then(|| {
        format!(
            "tasks went from {first:.0} to {last:.0} and none went: threads that stay, or zombies that nobody waits for"
        )
    })
}

/// `split`: whether the kernel separates slab from the rest of its memory.
fn name(part: Signal, split: bool) -> &'static str {
    match part {
        Signal::Anon => "anonymous memory (heap, stacks, private mappings)",
        Signal::Shmem => "shared memory or tmpfs: look for files in /dev/shm and /tmp that stay",
        Signal::Slab => "slab of the kernel: dentries, inodes, or objects of open files",
        Signal::Sock => "socket buffers: connections that nobody reads",
        Signal::Pagetables => "page tables: mappings that grow sparse, or many processes",
        Signal::KernelStack => "kernel stacks: threads that stay",
        _ if split => "memory of the kernel that is not slab: pipes and buffers",
        _ => {
            "memory of the kernel: sockets, pipes, open files, tasks, or dentries and inodes, which it can take back; this kernel does not distinguish them"
        }
    }
}
