import Foundation
import Testing
import UVCore
@testable import AsyncUV

@Suite struct AdoptingTests {
    @Test func aTCPListenerThatOthersOpenedIsServed() async throws {
        try await withLoop(clock: .system) {
            let socket = OwnedDescriptor(try Sockets.listen(on: SocketAddress.loopback().name, backlog: 10))
            let listener = try TCPListener(adopting: socket)
            #expect(socket.fileNumber == nil)
            let near = try await TCPStream.connect(to: listener.address)
            let far = try await listener.accept()
            try await near.write("x".utf8)
            #expect(try await far.read() == [120])
            near.abort()
            far.abort()
            listener.close()
        }
    }

    @Test func aUnixListenerThatOthersOpenedLeavesItsPathAlone() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let path = folder + "/s"
                let socket = try Sockets.openUnix()
                try Sockets.bindUnix(socket, to: UnixAddress(path: path).name)
                try Sockets.listenUnix(socket, backlog: 10)
                let owned = OwnedDescriptor(socket)
                let listener = try UnixListener(adopting: owned)
                #expect(listener.address.path == path)
                let near = try await UnixStream.connect(path: path)
                let far = try await listener.accept()
                try await expectConnected(near, far)
                near.abort()
                far.abort()
                listener.close()
                #expect(inode(path) != nil)
            }
        }
    }

    @Test func streamsThatOthersConnectedAreStreams() async throws {
        try await withLoop(clock: .system) {
            let (client, accepted) = try await connectedPair()
            let tcp = try TCPStream(adopting: try accepted.duplicateDescriptor())
            try await accepted.close()
            #expect(tcp.peerAddress == (try client.localAddress()))
            try await tcp.write("tcp".utf8)
            #expect(try await client.read() == Array("tcp".utf8))
            tcp.abort()
            client.abort()

            switch try Sockets.unixPair() {
            case .pair(let near, let far):
                let near = try UnixStream(adopting: OwnedDescriptor(near), acceptsDescriptors: true)
                let far = try UnixStream(adopting: OwnedDescriptor(far))
                try await expectConnected(near, far)
                try await far.send([1], descriptors: [try marker()])
                #expect(try await near.receive()?.descriptors.count == 1)
                near.abort()
                far.abort()
            }
        }
    }

    @Test func whatDoesNotFitIsNamedAndStaysTheCallers() async throws {
        try await withLoop(clock: .system) {
            let tcp = OwnedDescriptor(try Sockets.listen(on: SocketAddress.loopback().name, backlog: 10))
            let unix = OwnedDescriptor(try Sockets.openUnix())
            let (near, far) = try UnixStream.pair()
            let connected = try near.duplicateDescriptor()
            let file = try marker()
            let refused: [(OwnedDescriptor, String, (OwnedDescriptor) throws -> Void)] = [
                (tcp, "it is a TCP socket, not a Unix socket", { _ = try UnixListener(adopting: $0) }),
                (tcp, "it is a TCP socket, not a Unix socket", { _ = try UnixStream(adopting: $0) }),
                (tcp, "it listens: adopt it as a listener", { _ = try TCPStream(adopting: $0) }),
                (unix, "it is a Unix socket, not a TCP socket", { _ = try TCPListener(adopting: $0) }),
                (unix, "it does not listen: call listen(2) before", { _ = try UnixListener(adopting: $0) }),
                (unix, "it is not connected", { _ = try UnixStream(adopting: $0) }),
                (connected, "it is connected: adopt it as a stream", { _ = try UnixListener(adopting: $0) }),
            ]
            for (descriptor, reason, adopt) in refused {
                let error = #expect(throws: LoopError.self) { try adopt(descriptor) }
                #expect(error?.code == .misuse && error?.detail == reason, "\(error.map { "\($0)" } ?? "")")
                #expect(descriptor.fileNumber.map(Descriptor.isOpen) == true)
            }
            await expectSystem("ENOTSOCK") { try TCPStream(adopting: file) }
            #expect(file.fileNumber != nil)
            file.close()
            await expectCode(.closed) { try TCPStream(adopting: file) }
            await expectSystem("EBADF") { try TCPStream(adopting: OwnedDescriptor(owning: 1_000_000)) }
            near.abort()
            far.abort()
        }
    }

    /// A number that was closed once belongs to somebody else at once: another thread opens files all the time, and none of them may be closed.
    @Test func fault4_aDescriptorMovesOnceAndIsClosedOnce() async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("UnixProbe", "once").end() }
        #expect(lines == ["0 of somebody else's were closed, 0 descriptors left"], "\(lines)")
        #expect(status == 0 && errors.isEmpty, "\(errors)")
    }

    @Test func anOwnedDescriptorIsClosedWithItsObjectUnlessItIsReleased() throws {
        let file = try marker()
        do {
            let copy = try OwnedDescriptor(duplicating: try #require(file.fileNumber))
            #expect(try openCount(file) == 2)
            #expect("\(copy)" == "descriptor \(try #require(copy.fileNumber))")
        }
        #expect(try openCount(file) == 1)
        let copy = try OwnedDescriptor(duplicating: try #require(file.fileNumber))
        let number = try #require(copy.release())
        #expect(copy.release() == nil && copy.fileNumber == nil)
        copy.close()
        #expect(try openCount(file) == 2)
        OwnedDescriptor(owning: number).close()
        #expect(try openCount(file) == 1)
        #expect(throws: LoopError.self) { try OwnedDescriptor(duplicating: 1_000_000) }
    }
}

@Suite struct SocketActivationTests {
    private func parse(_ process: String, _ count: String, _ names: String? = nil, open: Set<Int32> = [3, 4]) throws -> [String] {
        try SocketActivation.parse(process: process, count: count, names: names, ownProcess: 42, isOpen: open.contains).map { "\($0.name) \($0.number)" }
    }

    @Test func descriptorsBeginAtThreeAndHaveTheNamesThatWerePassed() throws {
        #expect(try parse("42", "2", "web:admin") == ["web 3", "admin 4"])
        #expect(try parse("42", "2", "web:") == ["web 3", " 4"])
        #expect(try parse("42", "1") == ["unknown 3"])
    }

    @Test func descriptorsForAnotherProcessAreLeftAlone() throws {
        #expect(try parse("41", "2") == [])
        #expect(try parse("41", "nonsense") == [])
    }

    @Test(arguments: [
        ("x", "1", nil), ("-42", "1", nil), ("", "1", nil), ("42", "0", nil), ("42", "-1", nil), ("42", "x", nil), ("42", "2147483647", nil), ("42", "3", nil),
        ("42", "2", "web"), ("42", "1", "web:admin"),
    ])
    func contradictionsAreErrors(process: String, count: String, names: String?) {
        let error = #expect(throws: LoopError.self) { try parse(process, count, names) }
        #expect(error?.code == .invalidState)
    }

    /// By a shell, as a service manager does it: two sockets, a name for each, and the number of the process.
    @Test func anActivatedProcessServesTheSocketsThatItWasGiven() async throws {
        try await withLoop(clock: .system) {
            try await withFolder { folder in
                let socket = try Sockets.openUnix()
                try Sockets.bindUnix(socket, to: UnixAddress(path: folder + "/s").name)
                try Sockets.listenUnix(socket, backlog: 10)
                let process = Process()
                let output = Pipe()
                process.executableURL = URL(fileURLWithPath: "/bin/sh")
                process.arguments = [
                    "-c", "exec 3<&0 4<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=first:second exec \"$0\" activated", try ChildProgram.path("UnixProbe"),
                ]
                process.standardInput = FileHandle(fileDescriptor: socket.number, closeOnDealloc: false)
                process.standardOutput = output
                try process.run()
                let client = try await UnixStream.connect(path: folder + "/s")
                try await client.write("hello".utf8)
                #expect(try await client.read(exactly: 5) == Array("hello".utf8))
                try await client.close()
                let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                #expect(text == "first 3, closed on exec true\nsecond 4, closed on exec true\nagain: 0, variables left: 0\nserved\n")
                process.waitUntilExit()
                #expect(process.terminationStatus == 0)
                // The path is its maker's.
                #expect(inode(folder + "/s") != nil)
                withExtendedLifetime(socket) {}
            }
        }
    }
}
