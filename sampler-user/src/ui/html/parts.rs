//! What all pages share.

/// The script of the pages, in the order in which its parts need each other. A page adds its own beginning.
macro_rules! script {
    () => {
        concat!(
            include_str!("page/base.js"),
            include_str!("page/tables.js"),
            include_str!("page/chart.js"),
            include_str!("page/containers.js"),
            include_str!("page/incident.js"),
            include_str!("page/page.js"),
        )
    };
}
pub(super) use script;

/// The style.
pub const STYLE: &str = concat!(include_str!("uPlot.min.css"), include_str!("page/page.css"));
/// The library of the plots.
pub const PLOTS: &str = include_str!("uPlot.iife.min.js");
/// The sections of a recording.
pub const SECTIONS: &str = include_str!("page/sections.html");
