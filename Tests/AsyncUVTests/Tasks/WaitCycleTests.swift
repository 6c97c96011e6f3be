import Testing
@testable import AsyncUV

@Suite struct WaitCycleTests {
    @Test func entry17_aTaskCannotAwaitItself() async throws {
        try await withLoop {
            let holder = Holder()
            let task = LoopTask(name: "narcissus") { () async throws -> Int in try await holder.tasks[0].value }
            holder.tasks = [task]
            let error = await #expect(throws: LoopError.self) { try await task.value }
            #expect(error?.code == .misuse)
            #expect(error?.description.contains("narcissus") == true)
            #expect(error?.description.contains("cannot await itself") == true)
            holder.tasks = []
        }
    }

    @Test(arguments: [2, 3, 10]) func entry17_aLongerCycleIsAnErrorOfTheWaitThatClosesIt(length: Int) async throws {
        try await withLoop {
            let holder = Holder()
            for index in 0..<length {
                holder.tasks.append(LoopTask(name: "t\(index)") { () async throws -> Int in try await holder.tasks[(index + 1) % length].value })
            }
            let error = await #expect(throws: LoopError.self) { try await holder.tasks[0].value }
            #expect(error?.code == .misuse)
            let last = length - 1
            let names = ([last] + Array(0..<length)).map { "t\($0)" }.joined(separator: " → ")
            #expect(error?.description.contains(names) == true, "\(String(describing: error))")
            holder.tasks = []
        }
    }

    @Test func entry17_aCycleThroughGatherAndShieldIsFound() async throws {
        try await withLoop {
            let holder = Holder()
            holder.tasks.append(LoopTask(name: "gathers") { try await LoopTask.gather([holder.tasks[1]])[0] })
            holder.tasks.append(LoopTask(name: "shields") { try await LoopTask.shield(holder.tasks[2]) })
            holder.tasks.append(LoopTask(name: "closes") { () async throws -> Int in try await holder.tasks[0].value })
            let error = await #expect(throws: LoopError.self) { try await holder.tasks[0].value }
            #expect(error?.description.contains("closes → gathers → shields → closes") == true, "\(String(describing: error))")
            holder.tasks = []
        }
    }

    @Test func entry17_whatLooksLikeACycleAndIsNoneIsAwaited() async throws {
        try await withLoop { () async throws in
            let root = LoopTask {
                try await LoopTask.sleep(for: .seconds(1))
                return 1
            }
            let left = LoopTask { try await root.value + 1 }
            let right = LoopTask { try await root.value + 2 }
            let top = LoopTask { try await LoopTask.gather([left, right, root]) }
            let onTop = LoopTask { try await top.value.reduce(0, +) }
            #expect(try await onTop.value == 6)
        }
    }

    @Test func entry17_theSearchOfALongWayNeedsNoStack() async throws {
        try await withLoop {
            let holder = Holder()
            let count = 20_000
            for index in 0..<count {
                holder.tasks.append(
                    LoopTask { () async throws -> Int in
                        if index == 0 { try await LoopTask.sleep(for: .seconds(1)) }
                        return try await holder.tasks[index == 0 ? count - 1 : index - 1].value
                    })
            }
            let error = await #expect(throws: LoopError.self) { try await holder.tasks[count - 1].value }
            #expect(error?.code == .misuse)
            holder.tasks = []
        }
    }
}

/// Tasks that know each other. Used on one loop's thread only.
private final class Holder: @unchecked Sendable {
    var tasks: [LoopTask<Int>] = []
}
