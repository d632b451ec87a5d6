//! `/stats/summary` of the kubelet (`k8s.io/kubelet/pkg/apis/stats/v1alpha1`).

use std::io::Read;

use serde::Deserialize;

use crate::model::fields::FieldId;
use crate::reading::import::forms::document::{documents, has};
use crate::reading::import::forms::sample::{Is, put};
use crate::reading::import::free::MACHINE;
use crate::reading::import::intake::{Intake, Stop};

#[derive(Deserialize)]
struct Summary {
    node: Option<Node>,
    #[serde(default)]
    pods: Vec<Pod>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    memory: Option<Memory>,
    swap: Option<Swap>,
    #[serde(default)]
    system_containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: PodRef,
    memory: Option<Memory>,
    swap: Option<Swap>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct PodRef {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    memory: Option<Memory>,
    swap: Option<Swap>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    time: String,
    usage_bytes: Option<f64>,
    working_set_bytes: Option<f64>,
    rss_bytes: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Swap {
    time: String,
    swap_usage_bytes: Option<f64>,
}

pub fn is(head: &str) -> bool {
    head.starts_with('{') && (has(head, &["podRef"]) || has(head, &["nodeName", "systemContainers"]))
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("kubelet summary");
    documents(bytes, intake, |summary: Summary, intake| {
        if let Some(node) = summary.node {
            one(MACHINE, node.memory, node.swap, intake)?;
            for container in node.system_containers {
                // All pods together are called so.
                one(&format!("/{}", container.name), container.memory, container.swap, intake)?;
            }
        }
        for pod in summary.pods {
            let path = format!("/{}/{}", pod.pod_ref.namespace, pod.pod_ref.name).replace("//", "/");
            one(&path, pod.memory, pod.swap, intake)?;
            for container in pod.containers {
                one(&format!("{path}/{}", container.name), container.memory, container.swap, intake)?;
            }
        }
        Ok(())
    })
}

fn one(who: &str, memory: Option<Memory>, swap: Option<Swap>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    if let Some(memory) = memory {
        let values = [
            ("usageBytes", Is::Field(FieldId::Current), memory.usage_bytes),
            ("workingSetBytes", Is::WorkingSet, memory.working_set_bytes),
            ("rssBytes", Is::Field(FieldId::Anon), memory.rss_bytes),
        ];
        put(who, 0, &memory.time, &values, intake)?;
    }
    match swap {
        Some(swap) => {
            let values = [("swapUsageBytes", Is::Field(FieldId::SwapCurrent), swap.swap_usage_bytes)];
            put(who, 0, &swap.time, &values, intake)
        }
        None => Ok(()),
    }
}
