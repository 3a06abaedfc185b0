//! What a patch of a page looks like.

/// Of a square of a grey picture in rows of `width` pixels: how many of its pixels have each level,
/// and the sums of squared differences between pixels that are one and three apart, along the rows
/// and along the columns. Both reach three pixels beyond the square, whose top left pixel is at
/// `corner`; what lies outside of the picture does not count.
pub fn texture(
    grey: &[u8],
    width: usize,
    (left, top): (usize, usize),
    side: usize,
) -> ([u32; 256], [[u32; 2]; 2]) {
    let mut counts = [0; 256];
    let mut steps = [[0; 2]; 2];
    let row = |y: usize, x: usize| grey.get(y * width + x..).and_then(|rest| rest.get(..side));
    for y in top..top + side {
        let here = row(y, left).unwrap_or_default();
        for &level in here {
            counts[usize::from(level)] += 1;
        }
        let to = |other: Option<&[u8]>| squares(here, other.unwrap_or_default());
        steps[0][0] += to(row(y, left + 1));
        steps[0][1] += to(row(y, left + 3));
        steps[1][0] += to(row(y + 1, left));
        steps[1][1] += to(row(y + 3, left));
    }
    (counts, steps)
}

fn squares(a: &[u8], b: &[u8]) -> u32 {
    let step = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b)).pow(2);
    a.iter().zip(b).map(step).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_and_differences_squared() {
        // Rises by 2 to the right and by 5 down.
        let width = 20;
        let grey: Vec<u8> =
            (0..width * 20).map(|i| (i % width * 2 + i / width * 5) as u8).collect();
        let (counts, steps) = texture(&grey, width, (4, 6), 8);
        assert_eq!(counts.iter().sum::<u32>(), 64);
        assert_eq!((counts[38], counts[37]), (1, 0));
        assert_eq!(steps, [[64 * 4, 64 * 36], [64 * 25, 64 * 225]]);
    }

    #[test]
    fn what_lies_outside_does_not_count() {
        let (counts, steps) = texture(&[0, 10], 2, (0, 0), 2);
        assert_eq!((counts[0], counts[10]), (1, 1));
        assert_eq!(steps, [[0; 2]; 2]);
        assert_eq!(texture(&[], 0, (3, 3), 2).0, [0; 256]);
    }
}
