//! How much deflated data may inflate to by the laxest reading there is.
//!
//! Where data are damaged, `hayro` inflates them by rules of its own (those of PDF.js): it minds no
//! checks, no codes that are missing or too many, and no copies from before the beginning. A bomb
//! behind a little damage goes off only there. Nothing is written here, for lengths do not depend on
//! what the bytes are.

/// Base and extra bits of a copy's length (RFC 1951, 3.2.5).
const LENGTHS: [(usize, u32); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
/// Order of the lengths of the codes for code lengths (RFC 1951, 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Bytes read, and bytes that they stand for, or a few more than the limit.
pub(super) fn laxly_inflated(data: &[u8], limit: usize) -> (usize, usize) {
    let mut reader = Reader { data, at: 0, held: 0, count: 0 };
    let mut total = 0;
    while total <= limit && reader.block(&mut total, limit) == Some(false) {}
    (reader.at, total)
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    /// Bits that were read and not used, the first one lowest.
    held: u64,
    count: u32,
}

impl Reader<'_> {
    /// One block; whether it was the last. None where reading ends within it.
    fn block(&mut self, total: &mut usize, limit: usize) -> Option<bool> {
        let head = self.bits(3)?;
        match head >> 1 {
            0 => self.stored(total)?,
            1 => {
                let literal = |value| match value {
                    144..256 => 9,
                    256..280 => 7,
                    _ => 8,
                };
                let literals: Vec<u8> = (0..288).map(literal).collect();
                self.coded(&Table::new(&literals), &Table::new(&[5; 30]), total, limit)?;
            }
            2 => {
                let (literals, distances) = self.tables()?;
                self.coded(&literals, &distances, total, limit)?;
            }
            _ => return None,
        }
        Some(head & 1 == 1)
    }

    fn stored(&mut self, total: &mut usize) -> Option<()> {
        (self.held, self.count) = (0, 0);
        let length = self.bits(16)? as usize;
        self.bits(16)?;
        let present = length.min(self.data.len() - self.at);
        self.at += present;
        *total += present;
        (present == length).then_some(())
    }

    fn coded(
        &mut self,
        literals: &Table,
        distances: &Table,
        total: &mut usize,
        limit: usize,
    ) -> Option<()> {
        while *total <= limit {
            let code = self.code(literals)?;
            match code {
                0..256 => *total += 1,
                256 => return Some(()),
                _ => {
                    let (base, extra) = LENGTHS.get(code - 257).copied().unwrap_or((0, 0));
                    let length = base + self.bits(extra)? as usize;
                    let code = self.code(distances)? as u32;
                    let extra = if code < 30 { (code / 2).saturating_sub(1) } else { return None };
                    let base = if code < 4 { code } else { (2 + code % 2) << extra };
                    let distance = 1 + (base + self.bits(extra)?) as usize;
                    if distance <= *total {
                        *total += length;
                    }
                }
            }
        }
        Some(())
    }

    /// The two tables that a block brings along.
    fn tables(&mut self) -> Option<(Table, Table)> {
        let literals = self.bits(5)? as usize + 257;
        let all = literals + self.bits(5)? as usize + 1;
        let mut lengths = [0; 19];
        let given = self.bits(4)? as usize + 4;
        for &place in ORDER.iter().take(given) {
            lengths[place] = self.bits(3)? as u8;
        }
        let table = Table::new(&lengths);
        let mut lengths: Vec<u8> = Vec::with_capacity(all + 138);
        while lengths.len() < all {
            let (length, times) = match self.code(&table)? {
                length @ 0..16 => (length as u8, 1),
                16 => (lengths.last().copied().unwrap_or(0), 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                _ => (0, 11 + self.bits(7)?),
            };
            lengths.extend(std::iter::repeat_n(length, times as usize));
        }
        lengths.truncate(all);
        let (literals, distances) = lengths.split_at(literals);
        Some((Table::new(literals), Table::new(distances)))
    }

    fn code(&mut self, table: &Table) -> Option<usize> {
        self.fill(table.width);
        let (length, value) = table.entries[self.held as usize & (table.entries.len() - 1)];
        if length == 0 || length > self.count {
            return None;
        }
        self.held >>= length;
        self.count -= length;
        Some(value)
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        self.fill(count);
        if count > self.count {
            return None;
        }
        let bits = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Some(bits as u32)
    }

    /// Reads until this many bits are held, or data end.
    fn fill(&mut self, count: u32) {
        while self.count < count
            && let Some(&byte) = self.data.get(self.at)
        {
            self.held |= u64::from(byte) << self.count;
            self.count += 8;
            self.at += 1;
        }
    }
}

/// Codes by the bits that come next.
struct Table {
    width: u32,
    /// Length of a code in bits, 0 where there is none, and what it stands for.
    entries: Vec<(u32, usize)>,
}

impl Table {
    /// A table of the codes of these lengths; where there are too many, later ones count.
    fn new(lengths: &[u8]) -> Self {
        let width = lengths.iter().copied().max().unwrap_or(0).max(1).into();
        let mut entries = vec![(0, 0); 1usize << width];
        let mut code = 0u32;
        for length in 1..=width {
            for (value, _) in lengths.iter().enumerate().filter(|l| u32::from(*l.1) == length) {
                let first = (code.reverse_bits() >> (32 - length)) as usize;
                for entry in entries.iter_mut().skip(first).step_by(1 << length) {
                    *entry = (length, value);
                }
                code += 1;
            }
            code <<= 1;
        }
        Self { width, entries }
    }
}
