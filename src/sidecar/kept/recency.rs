//! Orders of use: lists whose elements are the places of kept answers, from the one that was used longest ago to the one that was used last.
//! A place is in several lists at once, in one slot for each; moving it takes the same time however long they are. Pure.
//!
//! A list is two numbers, and a place's part in all of its lists is 48 bytes: with a million answers that is what counts.

/// In how many lists a place can be.
pub const SLOTS: usize = 6;
/// A place's number and its slot share 32 bits.
const SLOT_BITS: u32 = 3;

/// A place in one of its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u32);

/// A list.
#[derive(Clone, Copy, Debug)]
pub struct UseOrder {
    first: Node,
    last: Node,
}

/// What comes before a node and after it.
#[derive(Clone, Copy)]
struct Link {
    before: Node,
    after: Node,
}

/// The links of all places, by their numbers.
#[derive(Default)]
pub struct Links(Vec<[Link; SLOTS]>);

impl Node {
    const NONE: Self = Self(u32::MAX);
    /// The most places that can be told apart.
    pub const MAX_PLACES: usize = 1 << (u32::BITS - SLOT_BITS);

    /// Returns the node of a place in the list of a slot.
    #[must_use]
    pub const fn new(place: u32, slot: usize) -> Self {
        Self(place << SLOT_BITS | (slot % SLOTS) as u32)
    }

    /// Returns its place.
    #[must_use]
    pub const fn place(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    const fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    fn exists(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

impl Default for UseOrder {
    fn default() -> Self {
        Self { first: Node::NONE, last: Node::NONE }
    }
}

impl UseOrder {
    /// Returns the place that was used longest ago.
    #[must_use]
    pub fn oldest(self) -> Option<u32> {
        self.first.exists().map(Node::place)
    }

    /// Returns whether no place is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.first == Node::NONE
    }
}

impl Links {
    /// Makes room for the links of a place.
    pub fn add_place(&mut self, place: u32) {
        let needed = place as usize + 1;
        if self.0.len() < needed {
            self.0.resize(needed, [Link { before: Node::NONE, after: Node::NONE }; SLOTS]);
        }
    }

    /// Adds a place that is used now, at the end.
    pub fn push_newest(&mut self, order: &mut UseOrder, node: Node) {
        let before = std::mem::replace(&mut order.last, node);
        self.set(node, Link { before, after: Node::NONE });
        match before.exists() {
            Some(before) => self.link(before).after = node,
            None => order.first = node,
        }
    }

    /// Adds a place of which it is not known when it was used, at the beginning.
    pub fn push_oldest(&mut self, order: &mut UseOrder, node: Node) {
        let after = std::mem::replace(&mut order.first, node);
        self.set(node, Link { before: Node::NONE, after });
        match after.exists() {
            Some(after) => self.link(after).before = node,
            None => order.last = node,
        }
    }

    /// Takes a place out of a list that it is in.
    pub fn remove(&mut self, order: &mut UseOrder, node: Node) {
        let Link { before, after } = *self.link(node);
        match before.exists() {
            Some(before) => self.link(before).after = after,
            None => order.first = after,
        }
        match after.exists() {
            Some(after) => self.link(after).before = before,
            None => order.last = before,
        }
    }

    /// Returns the places of a list, the one that was used longest ago first.
    pub fn places(&self, order: UseOrder) -> impl Iterator<Item = u32> + use<'_> {
        std::iter::successors(order.first.exists(), |node| self.0[node.place() as usize][node.slot()].after.exists()).map(Node::place)
    }

    fn set(&mut self, node: Node, link: Link) {
        *self.link(node) = link;
    }

    fn link(&mut self, node: Node) -> &mut Link {
        &mut self.0[node.place() as usize][node.slot()]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::{Links, Node, SLOTS, UseOrder};

    proptest! {
        #[test]
        fn lists_through_the_same_places_are_as_if_each_were_alone(
            steps in prop::collection::vec((0..3_u8, 0..SLOTS, 0..8_u32), 0..100),
        ) {
            let (mut links, mut orders) = (Links::default(), [UseOrder::default(); SLOTS]);
            let mut models: [VecDeque<u32>; SLOTS] = Default::default();
            (0..8).for_each(|place| links.add_place(place));
            for (what, slot, place) in steps {
                let (order, model, node) = (&mut orders[slot], &mut models[slot], Node::new(place, slot));
                if let Some(position) = model.iter().position(|known| *known == place) {
                    links.remove(order, node);
                    model.remove(position);
                }
                match what {
                    0 => {
                        links.push_newest(order, node);
                        model.push_back(place);
                    }
                    1 => {
                        links.push_oldest(order, node);
                        model.push_front(place);
                    }
                    _ => {}
                }
                for (order, model) in orders.iter().zip(&models) {
                    prop_assert!(links.places(*order).eq(model.iter().copied()));
                    prop_assert_eq!((order.oldest(), order.is_empty()), (model.front().copied(), model.is_empty()));
                }
            }
        }
    }

    #[test]
    fn a_node_says_its_place_up_to_the_last_one() {
        let last = u32::try_from(Node::MAX_PLACES).unwrap() - 1;
        for (place, slot) in [(0, 0), (1, 5), (last, 0), (last, SLOTS - 1)] {
            let node = Node::new(place, slot);
            assert_eq!((node.place(), node.slot(), node.exists()), (place, slot, Some(node)));
        }
    }
}
