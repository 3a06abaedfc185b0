//! Ink, told from paper by what surrounds it.

/// Marks the pixels of a grey picture, in rows of `width`, that are darker than `percent` of the
/// mean of the square around them, which reaches `reach` pixels to each side and ends at the
/// picture's edge: those of as many rows as `dark` has, from row `first` on.
pub fn darker_than_around(
    grey: &[u8],
    width: usize,
    (reach, percent): (usize, u32),
    first: usize,
    dark: &mut [bool],
) {
    let width = width.max(1);
    let height = grey.len() / width;
    let row = |y: usize| grey.chunks_exact(width).nth(y).unwrap_or_default();
    // Of each column the sum over the rows around, and of those the sums from the left on.
    let mut columns = vec![0u32; width];
    let mut sums = vec![0u32; width + 1];
    for y in first.saturating_sub(reach)..(first + reach).min(height) {
        add(&mut columns, row(y));
    }
    for (y, dark) in (first..height).zip(dark.chunks_exact_mut(width)) {
        if y + reach < height {
            add(&mut columns, row(y + reach));
        }
        if y > first && y > reach {
            subtract(&mut columns, row(y - reach - 1));
        }
        let mut sum = 0;
        for (to, column) in sums[1..].iter_mut().zip(&columns) {
            sum += column;
            *to = sum;
        }
        let rows = ((y + reach + 1).min(height) - y.saturating_sub(reach)) as u64;
        let is_dark = |level: u8, columns: usize, total: u32| {
            u64::from(level) * rows * columns as u64 * 100 < u64::from(percent) * u64::from(total)
        };
        let levels = row(y);
        // Where the square reaches over neither edge, which is nearly everywhere.
        let middle = reach.min(width)..width.saturating_sub(reach).max(reach.min(width));
        for x in (0..middle.start).chain(middle.end..width) {
            let (left, right) = (x.saturating_sub(reach), (x + reach + 1).min(width));
            dark[x] = is_dark(levels[x], right - left, sums[right] - sums[left]);
        }
        let square = 2 * reach + 1;
        let ends = sums.iter().zip(sums.get(square..).unwrap_or_default());
        let inside = dark[middle.clone()].iter_mut().zip(&levels[middle]);
        for ((dark, &level), (left, right)) in inside.zip(ends) {
            *dark = is_dark(level, square, right - left);
        }
    }
}

fn add(sums: &mut [u32], row: &[u8]) {
    for (sum, &level) in sums.iter_mut().zip(row) {
        *sum += u32::from(level);
    }
}

fn subtract(sums: &mut [u32], row: &[u8]) {
    for (sum, &level) in sums.iter_mut().zip(row) {
        *sum -= u32::from(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_compared_with_the_mean_of_its_square() {
        let (width, height) = (13, 11);
        let grey: Vec<u8> = (0..width * height).map(|i| (i * 97 % 251) as u8).collect();
        for (reach, first) in [(0, 0), (2, 0), (5, 0), (40, 0), (2, 1), (2, 7), (5, 6), (40, 10)] {
            let mut dark = vec![false; width * height];
            darker_than_around(&grey, width, (reach, 85), 0, &mut dark[..first * width]);
            darker_than_around(&grey, width, (reach, 85), first, &mut dark[first * width..]);
            for (i, &is_dark) in dark.iter().enumerate() {
                let (x, y) = (i % width, i / width);
                let near = (0..grey.len()).filter(|j| {
                    (j % width).abs_diff(x) <= reach && (j / width).abs_diff(y) <= reach
                });
                let (sum, count) =
                    near.fold((0u64, 0), |(sum, n), j| (sum + u64::from(grey[j]), n + 1));
                assert_eq!(is_dark, u64::from(grey[i]) * count * 100 < 85 * sum, "{x}, {y}");
            }
        }
    }

    #[test]
    fn a_picture_of_nothing_has_no_ink() {
        let mut dark = [false];
        darker_than_around(&[], 0, (3, 85), 0, &mut dark);
        darker_than_around(&[7], 1, (3, 85), 5, &mut dark);
        assert_eq!(dark, [false]);
    }
}
