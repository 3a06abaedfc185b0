//! What the recogniser thought of a line: the characters that could stand at each step along it,
//! and what they say where only certain texts can be.
//!
//! The best character of each step makes the text as it was read. Where that is no date, though a
//! date must stand there, the second best of one step may make it one: [`Posteriors::best`] finds
//! the likeliest text of those that are allowed, and how likely it is. It invents nothing: what
//! the network gave hardly any chance is not considered at all.

use std::collections::HashMap;

/// Characters that are less likely at a step than this are forgotten.
pub const LEAST: f32 = 1e-3;

/// Texts that are pursued at a time.
const BEAM: usize = 24;

/// The likely characters of each step of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Posteriors {
    /// Where the first step begins on the page, in pixels.
    left: f32,
    /// Pixels of a step.
    step: f32,
    /// For each step the end of its part of `likely`.
    ends: Vec<u32>,
    /// Characters, none for the CTC blank, with their posteriors; steps one after the other.
    likely: Vec<(Option<char>, f32)>,
}

/// A text, and how likely it is: the sum over all its alignments.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The text.
    pub text: String,
    /// Its probability.
    pub probability: f32,
}

/// Which texts can be.
pub trait Grammar {
    /// Whether a text can be the beginning of one that is allowed.
    fn begins(&self, text: &str) -> bool;

    /// Whether a text is allowed as it is.
    fn allows(&self, text: &str) -> bool;
}

/// Only this text.
impl Grammar for &str {
    fn begins(&self, text: &str) -> bool {
        self.starts_with(text)
    }

    fn allows(&self, text: &str) -> bool {
        *self == text
    }
}

impl Posteriors {
    /// Those of a line whose first step begins at `left` and whose steps are `step` pixels wide.
    pub fn new(left: f32, step: f32) -> Self {
        Self { left, step: step.max(f32::MIN_POSITIVE), ..Self::default() }
    }

    /// Adds a step. Posteriors of all characters sum up to 1, those below [`LEAST`] are left out;
    /// none stands for the CTC blank.
    pub fn push(&mut self, likely: impl IntoIterator<Item = (Option<char>, f32)>) {
        self.likely.extend(likely);
        self.ends.push(self.likely.len() as u32);
    }

    /// The likely characters of each step, from left to right.
    pub fn steps(&self) -> impl Iterator<Item = &[(Option<char>, f32)]> {
        (0..self.ends.len()).map(|index| self.step_at(index))
    }

    fn step_at(&self, index: usize) -> &[(Option<char>, f32)] {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.likely.get(start..end(index)).unwrap_or_default()
    }

    /// Whether nothing or a blank between words is the likeliest at a step.
    fn is_empty_at(&self, index: usize) -> bool {
        let best = self.step_at(index).iter().max_by(|a, b| a.1.total_cmp(&b.1));
        best.is_none_or(|(value, _)| matches!(value, None | Some(' ')))
    }

    /// The steps between two places on the page, with the empty ones around them.
    fn between(&self, left: f32, right: f32) -> std::ops::Range<usize> {
        let at = |x: f32| ((x - self.left) / self.step).max(0.0);
        let mut start = (at(left).round() as usize).min(self.ends.len());
        let mut end = (at(right).round() as usize).clamp(start, self.ends.len());
        while start > 0 && self.is_empty_at(start - 1) {
            start -= 1;
        }
        while end < self.ends.len() && self.is_empty_at(end) {
            end += 1;
        }
        start..end
    }

    /// The likeliest text between two places on the page of those that a grammar allows: a prefix
    /// beam search. Blanks between words may be passed over where the grammar has none.
    pub fn best(&self, left: f32, right: f32, grammar: &dyn Grammar) -> Option<Candidate> {
        // Of each beginning the probability of ending in a CTC blank, and in its last character.
        let mut beam: HashMap<String, (f64, f64)> = HashMap::from([(String::new(), (1.0, 0.0))]);
        for index in self.between(left, right) {
            let mut next: HashMap<String, (f64, f64)> = HashMap::new();
            for (text, (after_blank, after_last)) in &beam {
                for &(value, posterior) in self.step_at(index) {
                    let posterior = f64::from(posterior);
                    let both = (after_blank + after_last) * posterior;
                    let Some(value) = value else {
                        next.entry(text.clone()).or_default().0 += both;
                        continue;
                    };
                    let repeats = text.ends_with(value);
                    if repeats {
                        next.entry(text.clone()).or_default().1 += after_last * posterior;
                    }
                    let longer = format!("{text}{value}");
                    if grammar.begins(&longer) {
                        let gain = if repeats { after_blank * posterior } else { both };
                        next.entry(longer).or_default().1 += gain;
                    } else if value == ' ' {
                        next.entry(text.clone()).or_default().0 += both;
                    }
                }
            }
            beam = likeliest(next);
        }
        let allowed = beam.into_iter().filter(|(text, _)| grammar.allows(text));
        let best = allowed.max_by(|a, b| sum(&a.1).total_cmp(&sum(&b.1)).then(b.0.cmp(&a.0)))?;
        let probability = (sum(&best.1) as f32).min(1.0);
        (probability > 0.0).then_some(Candidate { text: best.0, probability })
    }
}

fn sum((blank, last): &(f64, f64)) -> f64 {
    blank + last
}

fn likeliest(beam: HashMap<String, (f64, f64)>) -> HashMap<String, (f64, f64)> {
    let mut sorted: Vec<_> = beam.into_iter().filter(|(_, p)| sum(p) > 0.0).collect();
    sorted.sort_by(|a, b| sum(&b.1).total_cmp(&sum(&a.1)).then_with(|| a.0.cmp(&b.0)));
    sorted.truncate(BEAM);
    sorted.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with a step of 10 px for each item: characters with their posteriors, `_` the blank.
    fn line(steps: &[&[(char, f32)]]) -> Posteriors {
        let mut line = Posteriors::new(100.0, 10.0);
        for step in steps {
            line.push(step.iter().map(|&(c, p)| ((c != '_').then_some(c), p)));
        }
        line
    }

    fn sure(text: &str) -> Vec<[(char, f32); 1]> {
        text.chars().map(|c| [(c, 1.0)]).collect()
    }

    struct Anything;

    impl Grammar for Anything {
        fn begins(&self, _: &str) -> bool {
            true
        }

        fn allows(&self, _: &str) -> bool {
            true
        }
    }

    #[test]
    fn without_a_grammar_the_likeliest_text_is_that_of_ctc() {
        let steps = sure("_aa_ab__b_");
        let line = line(&steps.iter().map(|step| &step[..]).collect::<Vec<_>>());
        let best = line.best(100.0, 200.0, &Anything).unwrap();
        assert_eq!(best, Candidate { text: "aabb".to_owned(), probability: 1.0 });
    }

    #[test]
    fn second_best_of_a_step_is_taken_where_the_best_is_not_allowed() {
        let line = line(&[&[('2', 1.0)], &[('O', 0.7), ('0', 0.3)], &[('_', 1.0)]]);
        assert_eq!(line.best(100.0, 130.0, &"20").unwrap().probability, 0.3);
        assert_eq!(line.best(100.0, 130.0, &"2O").unwrap().probability, 0.7);
    }

    #[test]
    fn what_has_no_chance_is_not_invented() {
        let line = line(&[&[('a', 1.0)], &[('b', 1.0)]]);
        assert_eq!(line.best(100.0, 120.0, &"ac"), None);
        assert_eq!(line.best(100.0, 120.0, &"abc"), None);
    }

    #[test]
    fn probabilities_of_all_alignments_add_up() {
        let line = line(&[&[('1', 0.5), ('_', 0.5)], &[('1', 0.5), ('_', 0.5)]]);
        // 1_, _1 and 11 are all the same text.
        assert_eq!(line.best(100.0, 120.0, &"1").unwrap().probability, 0.75);
    }

    #[test]
    fn blanks_between_words_can_be_passed_over() {
        let line = line(&[&[('1', 1.0)], &[(' ', 1.0)], &[('2', 1.0)]]);
        assert_eq!(line.best(100.0, 130.0, &"12").unwrap().text, "12");
        assert_eq!(line.best(100.0, 130.0, &"1 2").unwrap().text, "1 2");
    }

    #[test]
    fn part_of_a_line_is_read_with_the_empty_steps_around_it() {
        let line = line(&[
            &[('a', 1.0)],
            &[('_', 0.9), ('1', 0.1)],
            &[('2', 1.0)],
            &[('_', 1.0)],
            &[('b', 1.0)],
        ]);
        // The second step is outside, but empty: what may have been overlooked there counts.
        assert_eq!(line.best(120.0, 130.0, &"12").unwrap().probability, 0.1);
        assert_eq!(line.best(120.0, 130.0, &"a2"), None);
    }
}
