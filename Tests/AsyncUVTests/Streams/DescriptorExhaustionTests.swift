import Foundation
import Testing
@testable import AsyncUV

/// In processes of their own: this one needs its descriptors for other tests.
@Suite struct DescriptorExhaustionTests {
    @Test(arguments: ["before", "after"])
    func fault31_fault32_aListenerWithoutDescriptorsIsNeitherDeafNorSpinning(mode: String) async throws {
        let (lines, errors, status) = try await withLoop(clock: .system) {
            let program = try ChildProgram("TCPProbe", mode, descriptors: 256)
            var seen: [String] = []
            for clients in [100, 1] {
                repeat { seen.append(try #require(program.line(), "\(seen)")) } while seen.last?.hasPrefix("full ") != true
                let port = try #require(Int(seen.last?.dropFirst("full ".count) ?? ""))
                let exchanges = (0..<clients).map { _ in LoopTask { try await exchange(port: port) } }
                for task in exchanges { try await task.value }
            }
            let (rest, errors, status) = program.end()
            return (seen + rest, errors, status)
        }
        #expect(status == 0 && errors.isEmpty, "\(errors)")
        #expect(lines.filter { $0.hasPrefix("report: connections wait until they can be taken") }.count == 2, "\(lines)")
        let loads = lines.filter { $0.hasPrefix("episode") }
        #expect(loads.count == 2)
        for line in loads {
            let load = try #require(line.split(separator: " ").compactMap { Int($0) }.last)
            #expect(load <= 5, "\(line)")
        }
        let lateness = lines.filter { $0.hasPrefix("timers") }.compactMap { $0.split(separator: " ").compactMap { Int($0) }.last }
        #expect(lateness.count == 2 && lateness.allSatisfy { $0 < 20 }, "\(lines)")
        #expect(lines.allSatisfy { !$0.hasPrefix("failed") }, "\(lines)")
    }

    @Test func aListenerWithoutDescriptorsAndWithoutClientsHasNothingToReport() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("TCPProbe", "idle", descriptors: 64).end() }
        #expect(lines == ["idle: 0 failures", "served"])
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }

    @Test func fault02_anAcceptorThatIsCancelledAsTheListenerTriesAgainPassesItsWakeUpOn() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("TCPProbe", "handover", descriptors: 64).end() }
        #expect(lines.filter { !$0.hasPrefix("report: connections wait") } == ["first: cancelled", "second: served, 1 failures"])
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }

    @Test func fault03_connectsThatSucceedFailOrAreCancelledLeaveNoDescriptor() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("TCPProbe", "connects").end() }
        #expect(lines == ["connects: 0 descriptors left"])
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }

    /// More clients than descriptors, and none of them leaves by itself.
    @Test func fault31_anEchoServerAtItsLimitRestsAndServesTheOthersLater() async throws {
        let (errors, status) = try await withLoop(clock: .system) {
            let server = try EchoServerProcess(descriptors: 32)
            let clients = (0..<200).map { _ in
                LoopTask {
                    let stream = try await TCPStream.connect(to: server.address)
                    try await stream.write("hello".utf8)
                    return (stream, try await stream.read(exactly: 5))
                }
            }
            try await eventually { server.program.openDescriptors >= 32 }
            // What it was given before it was full is done with, too.
            try await LoopTask.sleep(for: .milliseconds(200))
            let before = server.program.processorTime
            try await LoopTask.sleep(for: .seconds(2))
            // Hundredths of a second in two: 5 %.
            #expect(server.program.processorTime - before <= 10)
            #expect(clients.contains { !$0.isDone })
            for client in clients {
                let (stream, answer) = try await client.value
                #expect(answer == Array("hello".utf8))
                try await stream.close()
            }
            try await eventually { server.program.openDescriptors == server.idleDescriptors }
            try await exchange(port: server.address.port)
            return server.end()
        }
        #expect(status == 0)
        #expect(errors.contains("connections wait until they can be taken") && errors.contains("ulimit -n"), "\(errors)")
    }
}

/// Connects, and gets back what it sends.
func exchange(port: Int) async throws {
    let stream = try await TCPStream.connect(host: "127.0.0.1", port: port)
    try await stream.write("hello".utf8)
    #expect(try await stream.read(exactly: 5) == Array("hello".utf8))
    try stream.closeWrite()
    #expect(try await stream.read() == nil)
    try await stream.close()
}
