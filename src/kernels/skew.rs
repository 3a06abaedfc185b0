//! How sharply the lines of a page show at an angle.

/// Projects points (along, across) along a slope onto a histogram with two bins a pixel, whose
/// first bin lies `margin` pixels before the page; each point is shared between two bins by its
/// distance from them.
pub fn pile(points: &[(f32, f32)], slope: f32, margin: f32, histogram: &mut [f32]) {
    histogram.fill(0.0);
    for &(along, across) in points {
        let place = 2.0 * (across - along * slope + margin);
        let bin = place as usize;
        let share = place - bin as f32;
        let from_bin = histogram.get_mut(bin..).unwrap_or_default();
        if let Some([first, second]) = from_bin.first_chunk_mut() {
            *first += 1.0 - share;
            *second += share;
        }
    }
}

/// Sum of squares of a histogram: the higher, the more it consists of peaks.
pub fn roughness(histogram: &[f32]) -> f64 {
    let (groups, rest) = histogram.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    let mut total = 0.0f64;
    for groups in groups.chunks(64) {
        sums.fill(0.0);
        for group in groups {
            for (sum, bin) in sums.iter_mut().zip(group) {
                *sum += bin * bin;
            }
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    }
    total + rest.iter().map(|&bin| f64::from(bin * bin)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_slope_pile_up_along_it() {
        let points: Vec<(f32, f32)> =
            (0..100).map(|x| (x as f32, 50.25 + 0.5 * x as f32)).collect();
        let mut histogram = vec![0.0; 400];
        pile(&points, 0.5, 10.0, &mut histogram);
        assert_eq!((histogram[120], histogram[121]), (50.0, 50.0));
        assert_eq!(roughness(&histogram), 5000.0);
        pile(&points, 0.0, 10.0, &mut histogram);
        assert!(roughness(&histogram) < 500.0);
        assert_eq!(histogram.iter().sum::<f32>(), 100.0);
    }

    #[test]
    fn points_off_the_histogram_are_left_out() {
        let mut histogram = vec![0.0; 4];
        pile(&[(0.0, 1e9), (0.0, f32::NAN), (0.0, 1.0)], 0.0, 0.0, &mut histogram);
        assert_eq!(histogram[2], 1.0);
    }
}
