# Slicer packs the install tree here; the stub has nothing to add.
