//! Least squares on a few columns, and the robust helpers everything else rests on.

/// A least-squares fit.
#[derive(Clone, Debug)]
pub struct Fit {
    /// One coefficient a column.
    pub coefficients: Vec<f64>,
    /// Sum of squared residuals.
    pub rss: f64,
    /// Diagonal of `(X'X)^-1`, one a column.
    pub inverse: Vec<f64>,
}

/// Fits `y` on `columns`; `None` when they are not independent.
pub fn ols(columns: &[&[f64]], y: &[f64]) -> Option<Fit> {
    let k = columns.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // The normal equations beside the unit matrix, by Gauss and Jordan with pivots; k is at most ten.
    let mut rows: Vec<Vec<f64>> = (0..k)
        .map(|i| {
            let mut row: Vec<f64> = columns.iter().map(|column| dot(columns[i], column)).collect();
            row.extend((0..k).map(|j| f64::from(u8::from(i == j))));
            row
        })
        .collect();
    for i in 0..k {
        let best = (i..k).max_by(|a, b| rows[*a][i].abs().total_cmp(&rows[*b][i].abs()))?;
        rows.swap(i, best);
        let pivot = rows[i][i];
        if pivot.abs() < 1e-12 * (1.0 + dot(columns[i], columns[i])) {
            return None;
        }
        rows[i].iter_mut().for_each(|value| *value /= pivot);
        for j in (0..k).filter(|j| *j != i) {
            let factor = rows[j][i];
            let (from, to) = if i < j {
                let (a, b) = rows.split_at_mut(j);
                (&a[i], &mut b[0])
            } else {
                let (a, b) = rows.split_at_mut(i);
                (&b[0], &mut a[j])
            };
            to.iter_mut().zip(from).for_each(|(to, from)| *to -= factor * from);
        }
    }
    let right: Vec<f64> = columns.iter().map(|column| dot(column, y)).collect();
    let coefficients: Vec<f64> = rows.iter().map(|row| dot(&row[k..], &right)).collect();
    let rss = (0..y.len())
        .map(|t| (y[t] - columns.iter().zip(&coefficients).map(|(column, b)| column[t] * b).sum::<f64>()).powi(2))
        .sum();
    Some(Fit { coefficients, rss, inverse: (0..k).map(|i| rows[i][k + i]).collect() })
}

/// Mean, 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Standard deviation, 0 of nothing.
pub fn deviation(values: &[f64]) -> f64 {
    let middle = mean(values);
    mean(&values.iter().map(|v| (v - middle).powi(2)).collect::<Vec<_>>()).sqrt()
}

/// The `part`-quantile (0 to 1), 0 of nothing.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    let at = ((sorted.len() - 1) as f64 * part).round() as usize;
    *sorted.select_nth_unstable_by(at, f64::total_cmp).1
}

/// The median, of an even number the mean of the two in the middle; 0 of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    let half = sorted.len() / 2;
    if sorted.is_empty() {
        return 0.0;
    }
    let even = sorted.len().is_multiple_of(2);
    let (below, &mut middle, _) = sorted.select_nth_unstable_by(half, f64::total_cmp);
    if even { (middle + below.iter().copied().fold(f64::NEG_INFINITY, f64::max)) / 2.0 } else { middle }
}

/// Median absolute deviation, scaled to a normal's standard deviation.
pub fn mad(values: &[f64]) -> f64 {
    let middle = median(values);
    1.4826 * median(&values.iter().map(|v| (v - middle).abs()).collect::<Vec<_>>())
}

/// Differences of neighbours.
pub fn differences(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Theil and Sen: the median of all slopes, by position. At most 256 points are used.
pub fn sen(values: &[f64]) -> f64 {
    let stride = values.len().div_ceil(256).max(1);
    let points: Vec<(f64, f64)> = values.iter().enumerate().step_by(stride).map(|(i, v)| (i as f64, *v)).collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, (t, v)) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|(later, w)| (w - v) / (later - t)));
    }
    median(&slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_found_and_dependent_columns_are_refused() {
        let one = vec![1.0; 20];
        let t: Vec<f64> = (0..20).map(f64::from).collect();
        let s: Vec<f64> = t.iter().map(|t| t * t).collect();
        let y: Vec<f64> = t.iter().map(|t| 3.0 - 2.0 * t + 0.5 * t * t).collect();
        let fit = ols(&[&one, &t, &s], &y).unwrap();
        for (got, want) in fit.coefficients.iter().zip([3.0, -2.0, 0.5]) {
            assert!((got - want).abs() < 1e-6, "{got}");
        }
        assert!(fit.rss < 1e-6);
        assert!(ols(&[&one, &one], &y).is_none());
    }

    #[test]
    fn the_median_slope_does_not_see_outliers() {
        let mut y: Vec<f64> = (0..100).map(|t| 2.0 * f64::from(t)).collect();
        for at in [3, 50, 77] {
            y[at] = 1e6;
        }
        assert!((sen(&y) - 2.0).abs() < 1e-9);
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0]), quantile(&[], 0.5)), (2.0, 2.5, 0.0));
        assert!(mad(&y) < 100.0);
    }
}
