/// A clock that stands still while anything can run, and then jumps to the next deadline. Starts at 0.
final class VirtualTimers: TimerSource {
    private(set) var now = LoopInstant(nanoseconds: 0)
    private var heap: [TimerSlot] = []

    var armed: Int { heap.count }

    func arm(_ timer: TimerSlot) {
        timer.heapIndex = heap.count
        heap.append(timer)
        siftUp(heap.count - 1)
    }

    func disarm(_ timer: TimerSlot) {
        let index = timer.heapIndex
        timer.heapIndex = -1
        let last = heap.removeLast()
        if last === timer { return }
        heap[index] = last
        last.heapIndex = index
        siftUp(index)
        siftDown(last.heapIndex)
    }

    func collectDue(_ due: (TimerSlot) -> Void) {
        while let first = heap.first, first.deadline <= now {
            disarm(first)
            due(first)
        }
    }

    func jump() -> Bool {
        guard let first = heap.first else { return false }
        if first.deadline > now { now = first.deadline }
        return true
    }

    func dispose(_ timer: TimerSlot) {}

    func close() {
        for timer in heap { timer.forget() }
        heap.removeAll()
    }

    private func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            if !heap[index].isBefore(heap[parent]) { return }
            swap(index, parent)
            index = parent
        }
    }

    private func siftDown(_ start: Int) {
        var index = start
        while true {
            var smallest = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].isBefore(heap[smallest]) {
                smallest = child
            }
            if smallest == index { return }
            swap(index, smallest)
            index = smallest
        }
    }

    private func swap(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        heap[left].heapIndex = left
        heap[right].heapIndex = right
    }
}
