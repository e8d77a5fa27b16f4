-- What the register says of a server's hardware stands with its device: when that changes, the host is held against it again.

CREATE TRIGGER stale_host_device AFTER INSERT ON devices WHEN new.server IS NOT NULL BEGIN
    INSERT INTO stale_hosts SELECT new.server
        WHERE EXISTS (SELECT 1 FROM host_inventories AS h WHERE h.server = new.server)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = new.server);
END;
CREATE TRIGGER stale_host_device_again AFTER UPDATE OF server, model, serial ON devices BEGIN
    INSERT INTO stale_hosts SELECT h.server FROM host_inventories AS h WHERE h.server IN (new.server, old.server)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = h.server);
END;
CREATE TRIGGER stale_host_device_retired AFTER INSERT ON retired WHEN new.kind = 'device' BEGIN
    INSERT INTO stale_hosts SELECT h.server FROM devices AS d JOIN host_inventories AS h ON h.server = d.server
        WHERE d.id = new.id AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = h.server);
END;
CREATE TRIGGER stale_host_device_restored AFTER DELETE ON retired WHEN old.kind = 'device' BEGIN
    INSERT INTO stale_hosts SELECT h.server FROM devices AS d JOIN host_inventories AS h ON h.server = d.server
        WHERE d.id = old.id AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = h.server);
END;
