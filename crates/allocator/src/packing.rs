//! Which GPU service goes on which device: the module that the crate's promises about GPUs rest on.
//!
//! **Preference.** An instance goes to the device with the fewest instances of its own service, then with the fewest
//! instances at all, then with the least memory left over, then with the lowest ordinal. Spread comes before best fit
//! on purpose: an idle card beside a shared one helps nobody.
//!
//! **Phase 1** gives every service one instance, exclusive services first, then the largest, each on the device it likes
//! best *among those that leave a place for all the others*. Whether a place is left is decided exactly by
//! [`devices_needed`], so a refusal is true, and backtracking is not needed.
//!
//! **Phase 2** goes round the services by name, one instance a turn, until nobody wants more or nothing fits.
//!
//! **More GPUs never give less.** With cards of different sizes phase 2 alone breaks that: a new card can attract the
//! instance that used to leave room elsewhere. So [`pack`] goes through the devices one by one, and starts over with a
//! fresh packing only where that gives every service at least what it has by keeping all and filling the new device.

/// A GPU service as far as packing goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// Device memory of one instance, in MiB; above 0.
    pub(crate) vram_mib: u32,
    /// The most instances on one device.
    pub(crate) per_device: u8,
    /// It shares its device with no other item.
    pub(crate) exclusive: bool,
    /// The most instances that are of use; `u32::MAX` for as many as fit.
    pub(crate) want: u32,
}

/// The most items that [`pack`] takes: the exact part takes time and memory in proportion to 2^items.
pub(crate) const MAX_ITEMS: usize = 12;

/// Items that each fit a device, but not together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The items, ascending. Without any one of them the others fit.
    pub(crate) items: Vec<usize>,
    /// They would fit if none were exclusive.
    pub(crate) by_exclusion: bool,
}

/// Who is on which device.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    rooms: Vec<Room>,
    /// Instances of each item.
    counts: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Room {
    free_mib: u32,
    /// Instances of each item here.
    held: Vec<u8>,
    /// Instances here.
    tenants: u32,
    /// Its tenant is exclusive.
    closed: bool,
}

impl Layout {
    fn empty(items: &[Item], capacities_mib: &[u32]) -> Self {
        let mut layout = Self { rooms: Vec::new(), counts: vec![0; items.len()] };
        for it in capacities_mib {
            layout.add_room(*it);
        }
        layout
    }

    fn add_room(&mut self, free_mib: u32) {
        self.rooms.push(Room { free_mib, held: vec![0; self.counts.len()], tenants: 0, closed: false });
    }

    /// The instances of `item` on each device, by ordinal.
    pub(crate) fn held(&self, item: usize) -> impl Iterator<Item = u8> {
        self.rooms.iter().map(move |it| it.held[item])
    }

    fn put(&mut self, items: &[Item], item: usize, room: usize) {
        let it = &mut self.rooms[room];
        it.free_mib -= items[item].vram_mib;
        it.held[item] += 1;
        it.tenants += 1;
        it.closed |= items[item].exclusive;
        self.counts[item] += 1;
    }

    fn with(&self, items: &[Item], item: usize, room: usize) -> Self {
        let mut next = self.clone();
        next.put(items, item, room);
        next
    }

    /// The devices that can take an instance of `item`, each with its preference: the least is the best.
    fn choices(&self, items: &[Item], item: usize) -> impl Iterator<Item = (u8, u32, u32, usize)> {
        let Item { vram_mib, per_device, exclusive, .. } = items[item];
        self.rooms.iter().enumerate().filter_map(move |(ordinal, room)| {
            let own = room.held[item];
            let alone = room.tenants == u32::from(own);
            let takes =
                room.free_mib >= vram_mib && own < per_device && (alone || !exclusive && !room.closed);
            takes.then(|| (own, room.tenants, room.free_mib - vram_mib, ordinal))
        })
    }

    /// Adds what is missing and fits. `None` when some item cannot have a first instance.
    fn fill(mut self, items: &[Item]) -> Option<Self> {
        let mut missing: Vec<usize> = (0..items.len()).filter(|it| self.counts[*it] == 0).collect();
        missing.sort_by_key(|it| (!items[*it].exclusive, std::cmp::Reverse(items[*it].vram_mib)));
        while !missing.is_empty() {
            let item = missing.remove(0);
            let rest: Vec<Item> = missing.iter().map(|it| items[*it]).collect();
            let mut choices: Vec<_> = self.choices(items, item).collect();
            choices.sort_unstable();
            let mut next = choices.iter().map(|(.., room)| self.with(items, item, *room));
            self = next.find(|it| devices_needed(&rest, &it.rooms).is_some())?;
        }
        let mut hungry: Vec<usize> = (0..items.len()).collect();
        while !hungry.is_empty() {
            hungry.retain(|&item| {
                let wants = self.counts[item] < items[item].want;
                let choice = if wants { self.choices(items, item).min() } else { None };
                choice.inspect(|(.., room)| self.put(items, item, *room)).is_some()
            });
        }
        Some(self)
    }
}

/// Packs as many instances as fit, up to what is wanted, at least one of each item; `None` when that cannot be.
/// `items` are in the order of their turns, at most [`MAX_ITEMS`].
pub(crate) fn pack(items: &[Item], capacities_mib: &[u32]) -> Option<Layout> {
    let fresh = |devices: usize| Layout::empty(items, &capacities_mib[..devices]).fill(items);
    let whole = fresh(capacities_mib.len())?;
    let most = |it: &Item| {
        let each = capacities_mib.iter().map(|mib| u64::from((mib / it.vram_mib).min(it.per_device.into())));
        each.sum::<u64>().min(it.want.into())
    };
    if items.iter().zip(&whole.counts).all(|(it, count)| u64::from(*count) == most(it)) {
        return Some(whole);
    }
    let least = devices_needed(items, &Layout::empty(items, capacities_mib).rooms)?;
    let mut best = fresh(least)?;
    for devices in least + 1..=capacities_mib.len() {
        best.add_room(capacities_mib[devices - 1]);
        best = best.fill(items)?;
        let other = fresh(devices)?;
        if best.counts.iter().zip(&other.counts).all(|(kept, new)| new >= kept) {
            best = other;
        }
    }
    Some(best)
}

/// How many of the first `rooms` suffice for one more instance of each item; `None` when all of them do not.
fn devices_needed(items: &[Item], rooms: &[Room]) -> Option<usize> {
    fronts(items, rooms).pop()?.map(|(room, _)| if items.is_empty() { 0 } else { room + 1 })
}

/// For each set of items (bit i for item i), how far it reaches when the rooms are filled in order: the last room used
/// and the memory used in it, the lexicographic least of all packings; `None` when the set does not fit.
///
/// That one pair a set is enough, for whatever fits behind a packing also fits behind one that ends in an earlier
/// room, or in the same room with less used. It is the dynamic programme over subsets known from bin packing, with
/// rooms of different sizes in a fixed order: O(2^items × items × rooms).
fn fronts(items: &[Item], rooms: &[Room]) -> Vec<Option<(usize, u32)>> {
    let mut fronts = vec![None; 1 << items.len()];
    fronts[0] = Some((0, 0));
    for set in 1..fronts.len() {
        let before = (0..items.len()).filter(|it| set & 1 << it != 0);
        fronts[set] = before.filter_map(|it| advance(items[it], fronts[set ^ 1 << it]?, rooms)).min();
    }
    fronts
}

/// The front after one more item.
fn advance(item: Item, (last, used): (usize, u32), rooms: &[Room]) -> Option<(usize, u32)> {
    rooms.iter().enumerate().skip(last).find_map(|(ordinal, room)| {
        let used = if ordinal == last { used } else { 0 };
        let fits = !room.closed && room.free_mib - used >= item.vram_mib;
        if item.exclusive {
            // It counts as using all of its room, so that nothing follows it there.
            (fits && used == 0 && room.tenants == 0).then_some((ordinal, room.free_mib))
        } else {
            fits.then(|| (ordinal, used + item.vram_mib))
        }
    })
}

/// The smallest sets of items that do not fit together, no item in two of them. Without their items all others fit.
/// Every item must fit alone.
pub(crate) fn conflicts(items: &[Item], capacities_mib: &[u32]) -> Vec<Conflict> {
    let rooms = Layout::empty(items, capacities_mib).rooms;
    let fronts = fronts(items, &rooms);
    let mut left = fronts.len() - 1;
    let mut found = Vec::new();
    let smallest = |left: usize| {
        let sets = (1..fronts.len()).filter(|set| set & left == *set && fronts[*set].is_none());
        sets.min_by_key(|set| (set.count_ones(), *set))
    };
    while let Some(set) = smallest(left) {
        left &= !set;
        let members: Vec<usize> = (0..items.len()).filter(|it| set & 1 << it != 0).collect();
        let sociable: Vec<Item> = members.iter().map(|it| Item { exclusive: false, ..items[*it] }).collect();
        found.push(Conflict { items: members, by_exclusion: devices_needed(&sociable, &rooms).is_some() });
    }
    found
}
