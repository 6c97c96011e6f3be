import Testing
@testable import AsyncUV

@Suite struct LoopBoundTests {
    /// Not Sendable, and tells on which loop it was let go of.
    private final class Plain {
        var count = 0
        let gone: Shared<EventLoop?>
        init(_ gone: Shared<EventLoop?>) { self.gone = gone }
        deinit { gone.value = EventLoop.current }
    }

    @Test func tasksOfOneLoopShareAPlainObject() async throws {
        try await withLoop {
            let box = try LoopBound(Plain(Shared(nil)))
            try await withLoopTaskGroup { group in
                for _ in 0..<100 {
                    try group.addTask {
                        for _ in 0..<10 {
                            try box.withValue { $0.count += 1 }
                            try await LoopTask.yield()
                        }
                    }
                }
            }
            #expect(try box.withValue { $0.count } == 1000)
        }
    }

    @Test func anotherThreadIsRefused() async throws {
        try await withLoop {
            let box = try LoopBound([1])
            await expectCode(.misuse) { try await Task.detached { try box.withValue { $0.count } }.value }
            #expect(try box.withValue { $0 } == [1])
        }
    }

    @Test func usingItInsideOfItselfIsRefused() async throws {
        try await withLoop {
            let box = try LoopBound(1)
            await expectCode(.misuse) { try box.withValue { _ in try box.withValue { $0 += 1 } } }
            try box.withValue { $0 += 1 }
            #expect(try box.withValue { $0 } == 2)
        }
    }

    @Test func whatIsInItIsLetGoOfOnItsLoop() async throws {
        try await withLoop {
            let gone = Shared<EventLoop?>(nil)
            let box = Shared<LoopBound<Plain>?>(try LoopBound(Plain(gone)))
            await Task.detached { box.value = nil }.value
            try await until { gone.value != nil }
            #expect(gone.value === EventLoop.current)
        }
    }

    @Test func withoutALoopThereIsNone() {
        #expect(throws: LoopError.self) { try LoopBound(1) }
    }
}
