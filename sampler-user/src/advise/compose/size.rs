//! Sizes as Compose reads them (`RAMInBytes` of docker/go-units): `512m`, `1.5GiB`, `1 gb`, plain bytes.

/// A size, bytes; `None` where Compose refuses the text, and for what is below zero.
pub fn size(text: &str) -> Option<u64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let is_space = text[last..].starts_with(' ');
    let (number, unit) = (&text[..if is_space { last } else { last + 1 }], &text[last + 1..]);
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let unit = unit.to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return None,
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let bytes = number * (1u64 << shift) as f64;
    (bytes < 9.2e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `docker compose config` (2.40) resolves them.
    #[test]
    fn sizes_are_those_of_compose() {
        let table = [
            ("0.5g", Some(536_870_912)),
            ("1.5GiB", Some(1_610_612_736)),
            ("100", Some(100)),
            ("100b", Some(100)),
            ("1 GB", Some(1 << 30)),
            ("512mib", Some(512 << 20)),
            ("512 m", Some(512 << 20)),
            ("64K", Some(64 << 10)),
            ("1pb", Some(1 << 50)),
            ("+5m", Some(5 << 20)),
            (".5g", Some(1 << 29)),
            ("5.m", Some(5 << 20)),
            ("0", Some(0)),
            ("1Gi", None),
            ("1,5g", None),
            ("-1", None),
            ("m", None),
            ("1ib", None),
            ("1x", None),
            ("", None),
            ("inf", None),
        ];
        for (text, wanted) in table {
            assert_eq!(size(text), wanted, "{text}");
        }
    }
}
