//! Where the values of a tracepoint's record are.

use std::fs;
use std::path::{Path, PathBuf};

use sampler_ebpf::MISSING;

/// Where tracefs is mounted.
pub fn tracefs() -> Option<PathBuf> {
    ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.join("events").is_dir())
}

/// A tracepoint's format file: where the values of its record are.
#[derive(Debug)]
pub(super) struct Format(String);

impl Format {
    /// Of a tracepoint of the running kernel.
    pub(super) fn of(group: &str, name: &str) -> Result<Format, String> {
        let root = tracefs().ok_or("tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing")?;
        let path = root.join("events").join(group).join(name).join("format");
        Format::read(&path)
    }

    fn read(path: &Path) -> Result<Format, String> {
        fs::read_to_string(path).map(Format).map_err(|error| format!("read {}: {error}", path.display()))
    }

    /// `\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;`
    pub(super) fn offset(&self, name: &str) -> u32 {
        let of = |line: &str| {
            let (declaration, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
            let word = declaration.rsplit(' ').next()?.split('[').next()?;
            (word == name).then(|| rest.trim().strip_prefix("offset:")?.split(';').next()?.parse().ok())?
        };
        self.0.lines().find_map(of).unwrap_or(MISSING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_file_shows_where_values_are() {
        let text = "name: mark_victim\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:__data_loc char[] comm;\toffset:12;\tsize:4;\tsigned:0;\n";
        let format = Format(text.into());
        assert_eq!((format.offset("pid"), format.offset("comm"), format.offset("uid")), (8, 12, MISSING));
    }
}
