import Testing
@testable import AsyncUV

@Suite struct QueueTests {
    @Test func itemsComeOutInTheOrderInWhichTheyWentIn() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let queue = try Queue<Int>()
            let turn = loop.turn
            for item in 0..<100 { try await queue.put(item) }
            #expect(queue.count == 100)
            for item in 0..<100 { #expect(try await queue.get() == item) }
            #expect(queue.isEmpty)
            #expect(!queue.isFull)
            #expect(loop.turn == turn)
        }
    }

    @Test func aStackGivesTheLatestOut() async throws {
        try await withLoop {
            let queue = try LifoQueue<Int>()
            for item in 0..<5 { try queue.putNow(item) }
            for item in (0..<5).reversed() { #expect(try queue.getNow() == item) }
            await expectError(.queueEmpty) { try queue.getNow() }
        }
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func aPriorityQueueGivesTheLowestOut(seed: UInt64) async throws {
        try await withLoop {
            var random = Seeded(seed)
            let queue = try PriorityQueue<Int>()
            var expected: [Int] = []
            for _ in 0..<300 {
                if Int.random(in: 0..<3, using: &random) > 0 {
                    let item = Int.random(in: 0..<50, using: &random)
                    expected.append(item)
                    try queue.putNow(item)
                } else if let lowest = expected.min(), let index = expected.firstIndex(of: lowest) {
                    expected.remove(at: index)
                    #expect(try queue.getNow() == lowest)
                }
            }
            for item in expected.sorted() { #expect(try queue.getNow() == item) }
            #expect(queue.isEmpty)
        }
    }

    /// What Python's `heapq` gives for the same pushes, where `<` compares the first number only.
    @Test func equalItemsOfAPriorityQueueComeOutAsHeapqHasThem() async throws {
        struct Item: Comparable, Sendable {
            var priority: Int, name: Int
            static func < (one: Item, other: Item) -> Bool { one.priority < other.priority }
            static func == (one: Item, other: Item) -> Bool { one.priority == other.priority }
        }
        try await withLoop {
            let queue = try PriorityQueue<Item>()
            for name in 0..<12 { try queue.putNow(Item(priority: name % 3, name: name)) }
            var names: [Int] = []
            while !queue.isEmpty { names.append(try queue.getNow().name) }
            #expect(names == [0, 6, 3, 9, 4, 10, 1, 7, 2, 5, 8, 11])
        }
    }

    @Test func aBurstDoesNotKeepItsMemoryAndTheQueueGoesOn() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            for item in 0..<10_000 { try queue.putNow(item) }
            for item in 0..<10_000 { #expect(try queue.getNow() == item) }
            #expect(queue.storage.items.slots.count == 16)
            try queue.putNow(1)
            #expect(try queue.getNow() == 1)
        }
    }

    @Test func putWaitsForRoomAndGetForAnItem() async throws {
        try await withLoop {
            let queue = try Queue<Int>(maxSize: 2)
            #expect(queue.maxSize == 2)
            let producer = LoopTask { for item in 0..<10 { try await queue.put(item) } }
            try await turns(3)
            #expect(queue.isFull)
            #expect(!producer.isDone)
            await expectError(.queueFull) { try queue.putNow(99) }
            for item in 0..<10 { #expect(try await queue.get() == item) }
            try await producer.value
            await expectError(.queueEmpty) { try queue.getNow() }
        }
    }

    @Test func aHandOverTakesOneTurn() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let queue = try Queue<Int>()
            let got = Shared<UInt64>(0)
            let consumer = LoopTask {
                let item = try await queue.get()
                got.value = loop.turn
                return item
            }
            try await turns()
            let turn = loop.turn
            try queue.putNow(7)
            #expect(try await consumer.value == 7)
            #expect(got.value == turn + 1)
        }
    }

    @Test func entry100_aGetterCancelledWhileItWaitsTakesNothing() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            let getter = LoopTask { try await queue.get() }
            try await turns()
            getter.cancel()
            try queue.putNow(1)
            await #expect(throws: CancelledError.self) { try await getter.value }
            #expect(try queue.getNow() == 1)
        }
    }

    @Test func entry100_aGetterCancelledAfterItsWakeUpWakesTheNext() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            let first = LoopTask { try await queue.get() }
            let second = LoopTask { try await queue.get() }
            try await turns()
            try queue.putNow(1)
            first.cancel()
            await #expect(throws: CancelledError.self) { try await first.value }
            #expect(try await second.value == 1)
            #expect(queue.isEmpty)
        }
    }

    @Test func entry100_aPutterCancelledWhileItWaitsPutsNothing() async throws {
        try await withLoop {
            let queue = try Queue<Int>(maxSize: 1)
            try queue.putNow(1)
            let putter = LoopTask { try await queue.put(2) }
            try await turns()
            putter.cancel()
            #expect(try queue.getNow() == 1)
            await #expect(throws: CancelledError.self) { try await putter.value }
            #expect(queue.isEmpty)
        }
    }

    @Test func entry100_aPutterCancelledAfterItsWakeUpWakesTheNext() async throws {
        try await withLoop {
            let queue = try Queue<Int>(maxSize: 1)
            try queue.putNow(1)
            let first = LoopTask { try await queue.put(2) }
            let second = LoopTask { try await queue.put(3) }
            try await turns()
            #expect(try queue.getNow() == 1)
            first.cancel()
            await #expect(throws: CancelledError.self) { try await first.value }
            try await second.value
            #expect(try queue.getNow() == 3)
        }
    }

    @Test func entry101_aWokenGetterWhoseItemIsGoneQueuesAtTheEnd() async throws {
        try await withLoop {
            let queue = try Queue<String>()
            let log = Log()
            let getters = (1...2).map { index in LoopTask { log("\(index) got \(try await queue.get())") } }
            try await turns()
            try queue.putNow("a")
            #expect(try queue.getNow() == "a")
            try await turns()
            try queue.putNow("b")
            try queue.putNow("c")
            for getter in getters { try await getter.value }
            #expect(log.entries == ["2 got b", "1 got c"])
        }
    }

    @Test func entry102_joinWaitsUntilEveryItemIsDone() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            try await queue.join()
            for item in 0..<3 { try queue.putNow(item) }
            let joiner = LoopTask { try await queue.join() }
            for _ in 0..<3 {
                _ = try await queue.get()
                try await turns(2)
                #expect(!joiner.isDone)
                try queue.taskDone()
            }
            try await joiner.value
        }
    }

    @Test func entry102_taskDoneTooOftenIsMisuse() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            await expectError(.misuse) { try queue.taskDone() }
            try queue.putNow(1)
            try queue.taskDone()
            await expectError(.misuse) { try queue.taskDone() }
        }
    }

    @Test func entry102_joinCanBeCancelled() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            try queue.putNow(1)
            let joiner = LoopTask { try await queue.join() }
            try await turns()
            joiner.cancel()
            await #expect(throws: CancelledError.self) { try await joiner.value }
        }
    }

    @Test func entry103_afterAShutDownPutsThrowAndGetsDrain() async throws {
        try await withLoop {
            let queue = try Queue<Int>(maxSize: 2)
            try queue.putNow(1)
            try queue.putNow(2)
            let putter = LoopTask { try await queue.put(3) }
            try await turns()
            try queue.shutDown()
            try queue.shutDown()
            #expect(queue.isShutDown)
            await expectError(.queueShutDown) { try await putter.value }
            await expectError(.queueShutDown) { try queue.putNow(4) }
            await expectError(.queueShutDown) { try await queue.put(4) }
            #expect(try await queue.get() == 1)
            #expect(try queue.getNow() == 2)
            await expectError(.queueShutDown) { try await queue.get() }
            await expectError(.queueShutDown) { try queue.getNow() }
        }
    }

    @Test func entry103_aShutDownWakesGettersWithAnError() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            let getters = (0..<3).map { _ in LoopTask { try await queue.get() } }
            try await turns()
            try queue.shutDown()
            for getter in getters { await expectError(.queueShutDown) { try await getter.value } }
        }
    }

    @Test func entry103_anImmediateShutDownDropsItemsAndCountsThemAsDone() async throws {
        try await withLoop {
            let queue = try Queue<Int>()
            for item in 0..<3 { try queue.putNow(item) }
            let joiner = LoopTask { try await queue.join() }
            _ = try await queue.get()
            try await turns()
            try queue.shutDown(immediate: true)
            #expect(queue.isEmpty)
            await expectError(.queueShutDown) { try await queue.get() }
            try await turns(3)
            // One item was taken and is not done yet.
            #expect(!joiner.isDone)
            try queue.taskDone()
            try await joiner.value
        }
    }

    @Test func entry103_anImmediateShutDownEndsJoinIfNothingIsInHand() async throws {
        try await withLoop {
            let queue = try PriorityQueue<Int>()
            for item in 0..<3 { try queue.putNow(item) }
            let joiner = LoopTask { try await queue.join() }
            try await turns()
            try queue.shutDown(immediate: true)
            try await joiner.value
        }
    }

    @Test func anItemThatLooksAtTheQueueWhenItIsDroppedDoesNoHarm() async throws {
        final class Item: Sendable {
            let queue: Queue<Item>
            let log: Log
            init(_ queue: Queue<Item>, _ log: Log) { (self.queue, self.log) = (queue, log) }
            deinit { log("dropped, \(queue.count) left, get throws: \((try? queue.getNow()) == nil)") }
        }
        try await withLoop {
            let log = Log()
            let queue = try Queue<Item>()
            try queue.putNow(Item(queue, log))
            try queue.shutDown(immediate: true)
            #expect(log.entries == ["dropped, 0 left, get throws: true"])
        }
    }

    @Test func closingTheLoopCancelsWhoWaits() async throws {
        let loop = try EventLoop(clock: .virtual)
        let queue = try Queue<Int>(maxSize: 1, on: loop)
        let full = try Queue<Int>(maxSize: 1, on: loop)
        let getter = LoopTask(on: loop) { try await queue.get() }
        let putter = LoopTask(on: loop) { for item in 0..<2 { try await full.put(item) } }
        let joiner = LoopTask(on: loop) { try await full.join() }
        try await onOwnThread {
            loop.stop()
            try loop.runForever()
            try loop.close()
        }
        #expect(getter.isCancelled && putter.isCancelled)
        #expect(joiner.isDone)
    }

    @Test func plainTasksCanPutAndGet() async throws {
        try await withLoop(clock: .system) {
            let queue = try Queue<Int>(maxSize: 3)
            let producer = Task.detached { for item in 0..<200 { try await queue.put(item) } }
            let consumer = Task.detached {
                var items: [Int] = []
                for _ in 0..<200 { items.append(try await queue.get()) }
                return items
            }
            try await producer.value
            #expect(try await consumer.value == Array(0..<200))
        }
    }

    @Test func aPlainTaskThatIsCancelledWhileItWaitsTakesAndPutsNothing() async throws {
        try await withLoop(clock: .system) {
            let queue = try Queue<Int>(maxSize: 1)
            let getter = Task.detached { try await queue.get() }
            while queue.core.waitingCount == 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
            getter.cancel()
            await #expect(throws: CancellationError.self) { try await getter.value }
            try queue.putNow(1)
            let putter = Task.detached { try await queue.put(2) }
            while queue.core.waitingCount == 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
            putter.cancel()
            await #expect(throws: CancellationError.self) { try await putter.value }
            #expect(try queue.getNow() == 1)
            #expect(queue.isEmpty)
        }
    }

    @Test func whatCannotWaitBelongsToTheLoopsThread() async throws {
        try await withLoop(clock: .system) {
            let queue = try Queue<Int>()
            for operation: @Sendable () throws -> Void in [
                { try queue.putNow(1) }, { _ = try queue.getNow() }, { try queue.taskDone() }, { try queue.shutDown() },
            ] {
                let elsewhere = Task.detached { try operation() }
                await expectError(.misuse) { try await elsewhere.value }
            }
            #expect(queue.isEmpty && !queue.isShutDown)
        }
    }

    /// Several producers and consumers, cancelled at random, over a queue with little room: nothing is lost, nothing doubled, each producer's order is kept.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func whateverIsCancelledEveryItemThatWasPutComesOutOnce(seed: UInt64) async throws {
        struct Item: Hashable, Sendable { var producer: Int, number: Int }
        try await withLoop {
            let queue = try Queue<Item>(maxSize: 1 + Int(seed % 3))
            let random = Shared(Seeded(seed))
            let put = Shared<[Item]>([]), got = Shared<[Item]>([])
            let producers = (0..<6).map { producer in
                LoopTask {
                    for number in 0..<20 {
                        let item = Item(producer: producer, number: number)
                        do {
                            try await queue.put(item)
                            put.value.append(item)
                        } catch is CancelledError {
                            // Refused: the next item.
                        }
                        try? await turns(Int.random(in: 0..<2, using: &random.value))
                    }
                }
            }
            let consumers = (0..<5).map { _ in
                LoopTask {
                    while true {
                        do {
                            got.value.append(try await queue.get())
                        } catch is CancelledError {
                            // Refused: it goes on.
                        }
                        try? await turns(Int.random(in: 0..<2, using: &random.value))
                    }
                }
            }
            // All have begun: one that is cancelled before it never would.
            try await turns()
            for _ in 0..<60 {
                try await turns(Int.random(in: 0..<2, using: &random.value))
                (producers.map { $0 as AnyLoopTask } + consumers.map { $0 as AnyLoopTask }).randomElement(using: &random.value)?.cancel()
            }
            for producer in producers { try await producer.value }
            while !queue.isEmpty { try await turns() }
            try queue.shutDown()
            for consumer in consumers { await expectError(.queueShutDown) { try await consumer.value } }
            #expect(got.value.count == put.value.count)
            #expect(Set(got.value) == Set(put.value))
            for producer in 0..<6 {
                let numbers = got.value.filter { $0.producer == producer }.map(\.number)
                #expect(numbers == numbers.sorted())
            }
        }
    }
}
