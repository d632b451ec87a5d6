//! The page that is served: the sections of the report, and the present above them. Its parts are files of their own.

use crate::ui::html::parts;

/// The page. It holds nothing of a recording.
pub const PAGE: &str = concat!(
    include_str!("page/served-head.html"),
    include_str!("page/sections.html"),
    include_str!("page/served-foot.html")
);
/// Its style.
pub const STYLE: &str =
    concat!(include_str!("uPlot.min.css"), include_str!("page/page.css"), include_str!("page/served.css"));
/// The library of its plots.
pub const PLOTS: &str = parts::PLOTS;
/// Its script.
pub const SCRIPT: &str = concat!(
    parts::script!(),
    include_str!("page/now.js"),
    include_str!("page/advice.js"),
    include_str!("page/served.js")
);
