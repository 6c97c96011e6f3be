import AsyncUV

/// The shared primitives of a program, by name.
struct Primitives {
    private var locks: [String: Lock] = [:]
    private var events: [String: Event] = [:]
    private var conditions: [String: Condition] = [:]
    private var semaphores: [String: Semaphore] = [:]
    private var barriers: [String: Barrier] = [:]
    private var queues: [String: any NumberQueue] = [:]

    init(_ primitives: [String: Primitive], on loop: EventLoop) throws {
        for (name, primitive) in primitives {
            switch primitive {
            case .lock: locks[name] = try Lock(on: loop)
            case .event: events[name] = try Event(on: loop)
            case .condition: conditions[name] = try Condition(on: loop)
            case .semaphore(let permits): semaphores[name] = try Semaphore(value: permits, on: loop)
            case .barrier(let parties): barriers[name] = try Barrier(parties: parties, on: loop)
            case .queue(let capacity): queues[name] = try Queue<Int>(maxSize: capacity, on: loop)
            case .lifo(let capacity): queues[name] = try LifoQueue<Int>(maxSize: capacity, on: loop)
            case .priority(let capacity): queues[name] = try PriorityQueue<Int>(maxSize: capacity, on: loop)
            }
        }
    }

    /// Runs `body` holding the lock, semaphore or condition `name`.
    func holding<Value>(_ name: String, _ body: () async throws -> Value) async throws -> Value {
        if let lock = locks[name] { return try await lock.withLock(body) }
        if let semaphore = semaphores[name] { return try await semaphore.withPermit(body) }
        return try await condition(name).withLock(body)
    }

    func event(_ name: String) throws -> Event { try Primitives.find(name, in: events) }
    func condition(_ name: String) throws -> Condition { try Primitives.find(name, in: conditions) }
    func barrier(_ name: String) throws -> Barrier { try Primitives.find(name, in: barriers) }
    func queue(_ name: String) throws -> any NumberQueue { try Primitives.find(name, in: queues) }

    private static func find<Value>(_ name: String, in primitives: [String: Value]) throws -> Value {
        guard let primitive = primitives[name] else { throw UnknownPrimitive(name: name) }
        return primitive
    }
}

/// A statement names what the program's `sync` does not have, or has as another kind.
struct UnknownPrimitive: Error {
    let name: String
}

/// What the three kinds of queues have in common.
protocol NumberQueue: Sendable {
    func put(_ number: Int) async throws
    func get() async throws -> Int
    func putNow(_ number: Int) throws
    func getNow() throws -> Int
    func taskDone() throws
    func join() async throws
    func shutDown(immediate: Bool) throws
}

extension QueueOf: NumberQueue where Storage.Element == Int {}
