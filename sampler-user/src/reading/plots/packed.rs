//! A column of a plot in few characters: most of it stands still, or moves by little.

use serde::Serialize;

/// More characters than this are not spent on a column whose values could be told a little coarser.
const MOST: usize = 4 << 10;
/// Parts of the highest value that are told apart then: more than a plot has pixels.
const PARTS: u64 = 4096;

/// A column as the page unpacks it: the unit of its values, then the steps from value to value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Packed(u64, Vec<Step>);

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Step {
    /// So many units more than the value before.
    Rise(i64),
    /// No value.
    Nothing(()),
    /// As before, so many times.
    Again([usize; 1]),
}

impl Packed {
    /// Packs values: exactly where that takes little room, else to 1/4096 of the highest.
    pub fn of(values: &[Option<u64>]) -> Packed {
        let exact = steps(values, 1);
        if length(&exact) <= MOST {
            return Packed(1, exact);
        }
        let unit = (values.iter().flatten().max().copied().unwrap_or(0) / PARTS).max(1);
        Packed(unit, steps(values, unit))
    }

    /// Characters that it takes, about.
    pub fn length(&self) -> usize {
        length(&self.1)
    }
}

fn steps(values: &[Option<u64>], unit: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut known, mut last, mut again) = (0, None, 0);
    for value in values.iter().map(|value| value.map(|value| (value.saturating_add(unit / 2) / unit) as i64)) {
        if last == Some(value) {
            again += 1;
            continue;
        }
        repeat(&mut steps, std::mem::take(&mut again));
        last = Some(value);
        steps.push(match value {
            Some(value) => Step::Rise(value.wrapping_sub(std::mem::replace(&mut known, value))),
            None => Step::Nothing(()),
        });
    }
    repeat(&mut steps, again);
    steps
}

fn repeat(steps: &mut Vec<Step>, times: usize) {
    if times > 0 {
        steps.push(Step::Again([times]));
    }
}

fn length(steps: &[Step]) -> usize {
    let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
    let one = |step: &Step| match step {
        Step::Rise(rise) => digits(rise.unsigned_abs()) + usize::from(*rise < 0),
        Step::Nothing(()) => 4,
        Step::Again([times]) => digits(*times as u64) + 2,
    };
    steps.iter().map(|step| one(step) + 1).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// As the page does it.
    fn unpack(packed: &Packed) -> Vec<Option<u64>> {
        let packed: Value = serde_json::to_value(packed).unwrap();
        let unit = packed[0].as_u64().unwrap();
        let (mut out, mut value, mut last) = (Vec::new(), 0, None);
        for step in packed[1].as_array().unwrap() {
            match step {
                Value::Array(times) => out.extend((0..times[0].as_u64().unwrap()).map(|_| last)),
                Value::Null => {
                    last = None;
                    out.push(last);
                }
                rise => {
                    value += rise.as_i64().unwrap();
                    last = Some(value as u64 * unit);
                    out.push(last);
                }
            }
        }
        out
    }

    #[test]
    fn what_stands_still_takes_no_room_and_is_exact() {
        let mut values = vec![Some(220_012); 1200];
        values[7] = None;
        let packed = Packed::of(&values);
        assert_eq!(serde_json::to_string(&packed).unwrap(), "[1,[220012,[6],null,0,[1191]]]");
        assert_eq!(unpack(&packed), values);
    }

    #[test]
    fn a_spike_of_one_point_in_noise_stays_and_the_room_is_bounded() {
        let noise = |n: u64| n * n * 2_654_435_761 % 30_000_000;
        let mut values: Vec<Option<u64>> = (0..1200).map(|n| Some(400_000_000 + noise(n))).collect();
        values[555] = Some(8_000_000_000);
        let packed = Packed::of(&values);
        let written = serde_json::to_string(&packed).unwrap().len();
        assert!(written < 6 << 10, "{written} characters");
        assert!(written.abs_diff(packed.length()) < 20, "{written} characters, {} by the estimate", packed.length());
        let back = unpack(&packed);
        let highest = back.iter().enumerate().max_by_key(|(_, value)| **value).unwrap();
        assert_eq!(highest.0, 555);
        for (value, back) in values.iter().zip(&back) {
            assert!(value.unwrap().abs_diff(back.unwrap()) <= 8_000_000_000 / 4096, "{value:?} became {back:?}");
        }
    }

    proptest! {
        #[test]
        fn few_values_come_back_as_they_were(values in prop::collection::vec(prop::option::weighted(0.8, prop_oneof![Just(0), Just(9), any::<u32>()]), 0..200)) {
            let values: Vec<Option<u64>> = values.into_iter().map(|value| value.map(u64::from)).collect();
            prop_assert_eq!(unpack(&Packed::of(&values)), values);
        }
    }
}
