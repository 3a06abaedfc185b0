//! From a network's logits to posteriors.

/// Logits this far below the highest are one over 500 million of it: not worth their exponential.
const FAR: f32 = 20.0;

/// Replaces `found` by the classes that are not less likely than `least`, with their posteriors, in
/// the order of the classes. Logits that are no numbers give none.
pub fn likely(logits: &[f32], least: f32, found: &mut Vec<(usize, f32)>) {
    found.clear();
    let highest = highest(logits);
    let near = logits.iter().enumerate().filter(|(_, logit)| **logit > highest - FAR);
    found.extend(near.map(|(class, logit)| (class, (logit - highest).exp())));
    let sum: f32 = found.iter().map(|(_, power)| power).sum();
    for (_, power) in found.iter_mut() {
        *power /= sum;
    }
    found.retain(|&(_, posterior)| posterior >= least);
}

fn highest(logits: &[f32]) -> f32 {
    // Eight at a time, as comparisons one after the other would wait for each other.
    let (groups, rest) = logits.as_chunks::<8>();
    let mut most = [f32::NEG_INFINITY; 8];
    for group in groups {
        for (most, &logit) in most.iter_mut().zip(group) {
            *most = if logit > *most { logit } else { *most };
        }
    }
    most.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posteriors_are_those_of_a_softmax() {
        let mut logits = vec![-30.0f32; 21];
        (logits[3], logits[17], logits[20]) = (2.0, 1.0, -1.0);
        let mut found = vec![(9, 9.0)];
        likely(&logits, 0.05, &mut found);
        let sum = 1.0 + (-1.0f32).exp() + (-3.0f32).exp();
        let expected = [(3, 1.0 / sum), (17, (-1.0f32).exp() / sum)];
        assert_eq!(found.len(), 2, "{found:?}");
        for ((class, posterior), (of, value)) in found.into_iter().zip(expected) {
            assert!(class == of && (posterior - value).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_no_number_is_no_class() {
        let mut found = Vec::new();
        likely(&[f32::NAN; 10], 0.001, &mut found);
        assert!(found.is_empty());
        likely(&[], 0.001, &mut found);
        assert!(found.is_empty());
    }
}
